#pragma once
// One real gpc-init in a directory of its own, with fake helpers behind which the test itself sits.
// Everything it has started is gone when it goes.

#include <sys/resource.h>
#include <sys/types.h>

#include <chrono>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/fd.h"
#include "support/fake_helper.h"
#include "wire/exit_ring.h"
#include "wire/keep.h"

namespace gpcsup::tests {

using std::chrono::milliseconds;
using std::chrono::seconds;

inline constexpr milliseconds patience = seconds(20);

struct Letter {  // a KeepMessage with its descriptor
    wire::KeepMessage message;
    base::Fd descriptor;
};

// The helper's end of a keep channel, played by the test.
class Part {
  public:
    Part(FakeHello hello, base::Fd keeper, base::Fd connection)
        : hello_(hello), keeper_(std::move(keeper)), connection_(std::move(connection)) {}

    [[nodiscard]] pid_t pid() const { return hello_.pid; }
    [[nodiscard]] std::string name() const { return std::string(hello_.name); }
    [[nodiscard]] std::uint32_t generation() const { return hello_.generation; }
    [[nodiscard]] int socket() const { return keeper_.get(); }
    void send(wire::KeepVerb verb, std::uint64_t argument = 0);
    void keep(wire::KeepClass keep_class, std::uint64_t id, int descriptor, const std::string& name = {});
    void drop(wire::KeepClass keep_class, std::uint64_t id);
    void send_message(const wire::KeepMessage& message, int descriptor);
    void settle();  // all that was sent before has been dealt with
    // The next message, or nothing within the time or at the end of the channel.
    std::optional<Letter> receive(milliseconds time = patience);
    // The next message with this verb; pings are answered, others passed over.
    std::optional<Letter> await(wire::KeepVerb verb, milliseconds time = patience);
    // Everything up to `delivered`.
    std::vector<Letter> receive_set();
    // Has the fake start a service that makes orphans on demand; returns the test's end of its socket.
    base::Fd start_service(pid_t& pid);

  private:
    FakeHello hello_;
    base::Fd keeper_;
    base::Fd connection_;
};

struct Setup {
    uid_t user = 0;                        // to run as, when the test is root
    std::vector<std::string> arguments;    // besides --runtime
    std::vector<std::string> environment;  // NAME=VALUE; $DIRECTORY is the instance's own
    bool name_runtime = true;              // with --runtime
    bool real_logd = false;
    rlim_t descriptors = 0;      // RLIMIT_NOFILE, soft and hard
    rlim_t real_time_us = 0;     // RLIMIT_RTTIME, soft
    bool own_namespace = false;  // as PID 1 of a pid namespace
    bool bare = false;           // its standard descriptors are closed, and there is no /dev/null
    bool nobody_reads = false;   // standard error is a pipe, and full
};

class Instance {
  public:
    explicit Instance(Setup setup = {});
    Instance(const Instance&) = delete;
    Instance& operator=(const Instance&) = delete;
    ~Instance();

    [[nodiscard]] pid_t pid() const { return pid_; }
    [[nodiscard]] const std::string& directory() const { return directory_; }
    [[nodiscard]] std::string runtime() const { return directory_ + "/runtime"; }
    [[nodiscard]] std::string logs() const { return directory_ + "/logs"; }
    // The next helper that starts; fails the test when it is none of this name.
    Part await_helper(const std::string& name, milliseconds time = patience);
    Part await_any_helper(milliseconds time = patience);
    [[nodiscard]] std::string words() const;  // what gpc-init has said
    bool await_words(const std::string& text, milliseconds time = patience) const;
    // Its wait status, or nothing in time.
    std::optional<int> await_end(milliseconds time = patience);
    // Runs gpc-init once more on the same runtime directory, to its end.
    struct Outcome {
        int status = 0;
        std::string words;
    };
    Outcome run_second();

  private:
    pid_t launch(const std::string& words_file);
    Setup setup_;
    std::string directory_;
    base::Fd listener_;
    base::Fd unread_;
    pid_t pid_ = 0;
    bool ended_ = false;
};

// The ring behind a delivered descriptor.
class Ring {
  public:
    explicit Ring(int descriptor);
    ~Ring();
    Ring(const Ring&) = delete;
    Ring& operator=(const Ring&) = delete;
    [[nodiscard]] std::uint64_t head() const { return ring_->head.load(std::memory_order_acquire); }
    [[nodiscard]] std::uint64_t tail() const { return ring_->tail.load(std::memory_order_acquire); }
    std::vector<wire::ExitRecord> fold();

  private:
    wire::ExitRing* ring_;
};

const Letter* find(const std::vector<Letter>& letters, wire::KeepClass keep_class, std::uint64_t id = 0);
std::string read_file(const std::string& path);
std::uint64_t inode(int descriptor);
bool is_alive(pid_t pid);                          // not a zombie either
std::string process_state(pid_t pid);              // "S", "Z", … or "" when there is none
long status_number(pid_t pid, const char* field);  // of /proc/PID/status
int count_children(pid_t pid, char state = 0);     // 0: in any state
bool await_true(const std::function<bool()>& condition, milliseconds time = patience);
// Who the tests run gpc-init as: root also tries an ordinary user.
std::vector<uid_t> identities();

}  // namespace gpcsup::tests
