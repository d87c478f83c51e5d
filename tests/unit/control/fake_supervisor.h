#pragma once
// A supervisor for tests of the client: answers the methods of org.gpcsup1.Manager on a real socket with real
// sd-bus, in a forked process that can be killed and replaced while the listening socket stays open, as
// gpc-init keeps it.

#include <sys/types.h>
#include <systemd/sd-bus.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <string>

#include "base/fd.h"

namespace gpcsup::test {

// What the fake saw, in memory shared with the test; counts go up over replacements.
struct Seen {
    std::atomic<std::uint64_t> calls;
    std::atomic<std::uint64_t> first_token;
    std::atomic<std::uint64_t> last_token;
    std::atomic<std::uint64_t> last_job;
    std::atomic<int> descriptors;
    std::atomic<int> signal;
    std::atomic<std::uint64_t> remove_timeout_us;
    std::array<char, 64> remove_how;  // written before `calls` goes up
};

enum class Manner {
    answers,            // every call is answered
    swallows_calls,     // reads calls and never answers, except Hello
    dies_at_calls,      // ends itself at the first call that is not Hello, unanswered
    drops_connections,  // accepts and closes
    drops_at_once       // the same, often before the client could say its first word
};

class FakeSupervisor {
  public:
    explicit FakeSupervisor(Manner manner);
    FakeSupervisor(const FakeSupervisor&) = delete;
    FakeSupervisor& operator=(const FakeSupervisor&) = delete;
    ~FakeSupervisor();

    [[nodiscard]] const std::string& runtime() const { return runtime_; }
    [[nodiscard]] Seen& seen() { return *seen_; }
    // SIGKILL to the serving process; the socket goes on listening.
    void kill();
    // A successor on the same socket.
    void serve(Manner manner);
    // Waits until the fake has seen COUNT calls; fails the test at a deadline.
    void wait_for_calls(std::uint64_t count);
    // As when gpc-init has ended: nobody listens, the socket is gone.
    void vanish();

  private:
    void open_socket();
    std::string runtime_;
    base::Fd listener_;
    base::Fd progress_;  // eventfd: one count a call
    Seen* seen_ = nullptr;
    pid_t pid_ = -1;
};

}  // namespace gpcsup::test
