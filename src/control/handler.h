#pragma once
// What the control bus asks of the supervisor: one function a method of docs/bus.md. The bus side (server.h)
// knows sd-bus and nothing of units; the supervisor implements this and knows nothing of messages.

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/fd.h"
#include "base/result.h"

namespace gpcsup::control {

struct Caller {  // from the socket's peer credentials, never from NSS
    uid_t uid = 0;
    pid_t pid = 0;
    std::uint64_t connection = 0;
};

// A reply that is given later (methods Wait, RemoveGroup). Dropping it unanswered ends the caller's call with
// an error, if what it was made with sees to that (the server's does).
class Reply {
  public:
    using Send = std::function<void(const base::Result<std::string>&)>;
    explicit Reply(Send send) : send_(std::move(send)) {}
    void operator()(const base::Result<std::string>& answer) {
        if (auto send = std::exchange(send_, nullptr)) {
            send(answer);
        }
    }

  private:
    Send send_;
};

struct Streams {  // descriptors that came with Run
    base::Fd input;
    base::Fd output;
    base::Fd error;
};

enum class JobKind { start, stop, restart, reload };
enum class Refused {
    error,
    listed
};  // how items that are in the way are told: as an error, or in the answer

class Handler {
  public:
    virtual ~Handler() = default;
    using Names = std::span<const std::string>;
    using Text = std::string_view;
    using Json = base::Result<std::string>;

    virtual Json status(const Caller& caller, Names units, Text detail) = 0;
    virtual Json tree(const Caller& caller, Text hierarchy) = 0;
    virtual Json processes(const Caller& caller, Text what) = 0;
    virtual Json get(Text group, Text attribute) = 0;
    virtual Json hierarchies() = 0;
    virtual Json groups(Text prefix) = 0;
    virtual Json why(const Caller& caller, Text what) = 0;
    virtual Json describe(Text what) = 0;
    virtual Json snapshot() = 0;  // TOML
    virtual base::Result<std::pair<std::string, std::uint64_t>> events(std::uint64_t since,
                                                                       std::uint64_t most) = 0;

    virtual base::Result<> set(const Caller& caller, Text group,
                               std::span<const std::pair<std::string, std::string>> settings) = 0;
    virtual base::Result<std::uint64_t> job(const Caller& caller, JobKind kind, Names units,
                                            std::uint64_t token) = 0;
    virtual void wait(const Caller& caller, std::uint64_t job, std::uint64_t timeout_us, Reply reply) = 0;
    virtual base::Result<std::uint32_t> kill(const Caller& caller, Text what, int signal, Text whom) = 0;
    // Answered when no process is left, or when it is given up: who is left, and why.
    virtual void wait_killed(const Caller& caller, Text what, Reply reply) = 0;
    // Answered when everybody stands still, or when it is given up.
    virtual void freeze(const Caller& caller, Text what, Reply reply) = 0;
    virtual Json thaw(const Caller& caller, Text what) = 0;
    // Answered when the group is `condition` (empty, populated, frozen, thawed), or at the timeout.
    virtual void wait_group(const Caller& caller, Text what, Text condition, std::uint64_t timeout_us,
                            Reply reply) = 0;
    virtual Json attach(const Caller& caller, Names what, Names groups, Text scope, Refused refused) = 0;
    // `compat`: as in gpcsup.toml, empty for none.
    virtual base::Result<> create_hierarchy(const Caller& caller, Text name, Names controllers,
                                            Text compat) = 0;
    virtual base::Result<> remove_hierarchy(const Caller& caller, Text name) = 0;
    virtual base::Result<> rebind_hierarchy(const Caller& caller, Text name, Names controllers) = 0;
    virtual base::Result<> create_group(const Caller& caller, Text group, Text how) = 0;
    virtual void remove_group(const Caller& caller, Text group, Text how, std::uint64_t timeout_us,
                              Reply reply) = 0;
    virtual base::Result<> rename_group(const Caller& caller, Text group, Text name) = 0;
    virtual base::Result<std::pair<std::string, std::uint64_t>> run(const Caller& caller, Text request,
                                                                    Streams streams) = 0;
    virtual Json apply(const Caller& caller, Text how) = 0;
    virtual base::Result<> shutdown(const Caller& caller, Text how) = 0;
    virtual base::Result<> reexec(const Caller& caller) = 0;
    virtual void disconnected(std::uint64_t connection) = 0;

    // Objects: properties as text, generated from the tables of units and attributes.
    using Properties = std::vector<std::pair<std::string, std::string>>;
    virtual std::vector<std::string> unit_names() = 0;
    virtual base::Result<Properties> unit_properties(Text unit) = 0;
    virtual std::vector<std::string> hierarchy_names() = 0;
    virtual base::Result<Properties> hierarchy_properties(Text hierarchy) = 0;
    virtual std::vector<std::string> group_names() = 0;
    virtual base::Result<Properties> group_properties(Text group) = 0;

    virtual std::string identity() = 0;                          // version
    virtual std::pair<std::uint32_t, std::uint32_t> pids() = 0;  // gpcsupd, gpc-init
    virtual std::string mode() = 0;                              // "system", "user", "init"
};

}  // namespace gpcsup::control
