// Who may set whose affinity: what the kernel would say, of real processes.
#include <cerrno>
#include <csignal>

#include <sched.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include <catch2/catch.hpp>

#include "launch/affinity_calls.h"

using namespace gpcsup;

namespace {

enum class Namespace { ours, own };

// A process of user UID that waits to be ended; as the root of a user namespace of its own if it is to.
class Somebody {
  public:
    Somebody(uid_t uid, Namespace space) {
        int ends[2];
        REQUIRE(pipe(ends) == 0);
        pid_ = fork();
        REQUIRE(pid_ >= 0);
        if (pid_ == 0) {
            prctl(PR_SET_PDEATHSIG, SIGKILL);
            const bool fine = syscall(SYS_setresuid, uid, uid, uid) == 0 && prctl(PR_SET_DUMPABLE, 1) == 0 &&
                              (space == Namespace::ours || unshare(CLONE_NEWUSER) == 0);
            const char word = fine ? '+' : '-';
            if (write(ends[1], &word, 1) == 1) {
                pause();
            }
            _exit(0);
        }
        char word = 0;
        REQUIRE(read(ends[0], &word, 1) == 1);
        close(ends[0]);
        close(ends[1]);
        ready_ = word == '+';
    }
    Somebody(const Somebody&) = delete;
    Somebody& operator=(const Somebody&) = delete;
    ~Somebody() {
        kill(pid_, SIGKILL);
        waitpid(pid_, nullptr, 0);
    }
    [[nodiscard]] pid_t pid() const { return pid_; }
    [[nodiscard]] bool ready() const { return ready_; }

  private:
    pid_t pid_ = -1;
    bool ready_ = false;
};

}  // namespace

TEST_CASE("whoever is root only of a user namespace of his own sets nobody else's affinity") {
    if (geteuid() != 0) {
        WARN("skipped: two users are needed");
        return;
    }
    const Somebody self_made(65534, Namespace::own);
    if (!self_made.ready()) {
        WARN("skipped: nobody may make a user namespace here");
        return;
    }
    const Somebody root(0, Namespace::ours);
    const Somebody other(65533, Namespace::ours);
    const Somebody same(65534, Namespace::ours);
    REQUIRE((root.ready() && other.ready() && same.ready()));
    const auto refused = launch::may_schedule(self_made.pid(), other.pid());
    REQUIRE_FALSE(refused);
    CHECK(refused.error().code == EPERM);
    CHECK_FALSE(launch::may_schedule(self_made.pid(), root.pid()));
    CHECK(launch::may_schedule(self_made.pid(), same.pid()));
    CHECK(launch::may_schedule(self_made.pid(), self_made.pid()));
    CHECK(launch::may_schedule(root.pid(), other.pid()));
    CHECK(launch::may_schedule(root.pid(), self_made.pid()));
    CHECK_FALSE(launch::may_schedule(other.pid(), same.pid()));
}
