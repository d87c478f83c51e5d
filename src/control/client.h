#pragma once
// The supervisor as the command line sees it: one function a method of the control bus (../docs/bus.md), with
// types. Answers that are JSON are handed on as text; what they mean is the caller's. A supervisor that is
// replaced in the middle is no error: queries are asked again, jobs are ordered again with the same token,
// waits are resumed.

#include <array>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "base/strong_id.h"
#include "control/connection.h"

namespace gpcsup::control {

struct JobTag;
using JobId = base::StrongId<JobTag, std::uint64_t>;

enum class Detail { plain, settings };
enum class JobVerb { start, stop, restart, reload };
enum class Whom { all, main };
enum class GroupCondition { empty, populated, frozen, thawed };
enum class AttachScope { process, thread, tree };
enum class CreateHow { only, with_parents };
enum class RemoveHow : unsigned { plain = 0, kill = 1, recursive = 2, wait = 4 };
[[nodiscard]] constexpr RemoveHow operator|(RemoveHow left, RemoveHow right) {
    return static_cast<RemoveHow>(static_cast<unsigned>(left) | static_cast<unsigned>(right));
}
enum class ShutdownHow { poweroff, reboot, halt, exit };
enum class ApplyHow { plan, apply };
enum class DescribeWhat { settings, attributes };

using Names = std::vector<std::string>;
using Assignments = std::vector<std::pair<std::string, std::string>>;
using Json = std::string;

struct Hello {
    std::string version;
    std::uint32_t pid = 0;
    std::uint32_t init_pid = 0;
    std::string mode;
};

struct RunRequest {
    Json request;                             // see bus.md; without a token
    std::array<int, 3> descriptors{0, 1, 2};  // stdin, stdout, stderr of the command; they stay the caller's
};
struct Running {
    std::string unit;
    JobId job;
};

struct Events {
    std::string lines;       // one JSON object a line
    std::uint64_t next = 0;  // what to ask for next
};

class Client {
  public:
    explicit Client(std::string runtime, Patience patience = {})
        : connection_(std::move(runtime), patience) {}

    // ENOTCONN (exit code 69) where no supervisor answers.
    base::Result<> open() { return connection_.open(); }
    [[nodiscard]] const std::string& runtime() const { return connection_.runtime(); }

    base::Result<Hello> hello();
    base::Result<Json> status(const Names& units, Detail detail);
    base::Result<Json> list();
    base::Result<Json> tree(const std::string& hierarchy);
    base::Result<Json> processes(const std::string& what);
    base::Result<Json> get(const std::string& group, const std::string& attribute);
    base::Result<> set(const std::string& group, const Assignments& settings);
    base::Result<Json> hierarchies();
    base::Result<Json> groups(const std::string& prefix);

    // Orders a job and returns at once.
    base::Result<JobId> order(JobVerb verb, const Names& units);
    // Answers when the job is settled, or with "settled": false at the timeout (0 = none). EINTR: the
    // companion interrupted.
    base::Result<Json> wait(JobId job, std::chrono::microseconds timeout, Companion* companion = nullptr);

    base::Result<std::uint32_t> kill(const std::string& what, int signal, Whom whom);
    // Waits until the kill of it that is under way is over: who is left, and why.
    base::Result<Json> wait_killed(const std::string& what);
    base::Result<Json> freeze(const std::string& what);  // waits until it is done or given up
    base::Result<Json> thaw(const std::string& what);
    // Answers when it is so, or with "met": false at the timeout (0 = none).
    base::Result<Json> wait_group(const std::string& what, GroupCondition condition,
                                  std::chrono::microseconds timeout);
    base::Result<Json> attach(const Names& what, const Names& groups, AttachScope scope);
    // The same; items that are refused are in the answer and no error.
    base::Result<Json> try_attach(const Names& what, const Names& groups, AttachScope scope);
    base::Result<> create_hierarchy(const std::string& name, const Names& controllers,
                                    const std::string& compat = {});
    base::Result<> remove_hierarchy(const std::string& name);
    base::Result<> rebind_hierarchy(const std::string& name, const Names& controllers);
    base::Result<> create_group(const std::string& group, CreateHow how);
    // Says what became of the group (docs/bus.md), "{}" when that was not heard. `timeout` is of
    // RemoveHow::wait, 0 = none.
    base::Result<Json> remove_group(const std::string& group, RemoveHow how,
                                    std::chrono::microseconds timeout = {});
    base::Result<> rename_group(const std::string& group, const std::string& new_name);
    base::Result<Running> run(const RunRequest& request);

    base::Result<Events> events(std::uint64_t since, std::uint32_t most);
    base::Result<> subscribe();
    // The next event's JSON; nothing: the connection is a new one, subscribe again and read what was missed
    // with events().
    base::Result<std::optional<Json>> next_event(Companion* companion) {
        return connection_.next_event(companion);
    }

    base::Result<Json> why(const std::string& what);  // a unit, a group or a process
    base::Result<std::string> snapshot();             // TOML
    base::Result<Json> apply(ApplyHow how);
    base::Result<> shutdown(ShutdownHow how);
    base::Result<> wait_gone(std::chrono::nanoseconds timeout) { return connection_.wait_gone(timeout); }
    base::Result<> reexec();
    base::Result<Json> describe(DescribeWhat what);

  private:
    base::Result<Json> ask(const Request& request);
    base::Result<Json> attach_by(const char* method, const Names& what, const Names& groups,
                                 AttachScope scope);
    base::Result<> tell(const Request& request);
    enum class Present { yes, no };
    base::Result<> change_group(Request request, const std::string& group, Present wanted);
    // Whether a change whose answer was lost was carried out.
    base::Result<Present> presence(const std::string& group);
    Connection connection_;
};

}  // namespace gpcsup::control
