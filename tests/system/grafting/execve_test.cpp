// The process executes a program while one of its threads is borrowed. An execve that comes behind the filter
// is trapped; one that had come before it ends the borrowed thread, and would close the only listener there
// is.

#include <linux/userfaultfd.h>
#include <sys/ioctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <csignal>
#include <sstream>

#include "system/grafting/operation.h"

using namespace gpcsup;
using namespace gpcsup::test;
using wire::GraftMode;
using wire::GraftOutcome;

namespace {

// Where an execve of the victim waits.
class LatePage {
  public:
    LatePage(const Victim& victim, const std::string& line) {
        std::istringstream words(line);
        std::string name;
        int number = -1;
        words >> name >> number >> address_;
        const Fd process(static_cast<int>(syscall(SYS_pidfd_open, victim.pid(), 0)));
        pages_.reset(static_cast<int>(syscall(SYS_pidfd_getfd, process.get(), number, 0)));
        REQUIRE(pages_.get() >= 0);
    }
    void fill_in() const {
        uffdio_zeropage page{{address_, 4096}, 0, 0};
        REQUIRE(ioctl(pages_.get(), UFFDIO_ZEROPAGE, &page) == 0);
    }

  private:
    Fd pages_;
    unsigned long long address_ = 0;
};

// Holds a traced gpc-graft before the first of its calls at which the victim has the filter.
bool hold_when_filtered(pid_t helper, pid_t victim) {
    int status = 0;
    if (waitpid(helper, &status, 0) != helper || !WIFSTOPPED(status)) {  // at its execve
        return false;
    }
    ptrace(PTRACE_SETOPTIONS, helper, nullptr, PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL);
    for (int signal = 0; filtered_threads(victim) == 0;) {
        if (ptrace(PTRACE_SYSCALL, helper, nullptr, signal) != 0 || waitpid(helper, &status, 0) != helper ||
            !WIFSTOPPED(status)) {
            return false;
        }
        signal = WSTOPSIG(status) == (SIGTRAP | 0x80) ? 0 : WSTOPSIG(status);
    }
    return true;
}

void check_answered(Victim& victim, Keeper& keeper) {
    CHECK(victim.ask('f') == "ok");
    CHECK(keeper.trapped() > 0);
    CHECK(listeners_in(victim.pid()) == 0);
    CHECK(victim.ask('w') == "0");
}

}  // namespace

TEST_CASE("an execve that began before the filter was set and ends the thread that set it") {
    if (!possible()) {
        return;
    }
    // The thread that is borrowed is one among others, or the leader.
    for (const std::vector<std::string>& roles : {std::vector<std::string>{"user"}, {}}) {
        INFO(roles.size() << " threads beside the leader");
        Victim victim(roles);
        Keeper keeper;
        const std::string line = victim.ask('X');
        if (line.starts_with("errno")) {
            WARN("skipped: this kernel has no userfaultfd");
            return;
        }
        const LatePage page(victim, line);
        Helper helper = start_graft(victim, keeper, GraftMode::fresh, Filter::tasks, 15s,
                                    [] { ptrace(PTRACE_TRACEME, 0, nullptr, nullptr); });
        REQUIRE(hold_when_filtered(helper.pid, victim.pid()));
        page.fill_in();
        // All are told to end: it waits for the one that is borrowed, or has ended it.
        const auto until = std::chrono::steady_clock::now() + 10s;
        while (threads_of(victim.pid()).size() > 2 && std::chrono::steady_clock::now() < until) {
            std::this_thread::yield();
        }
        ptrace(PTRACE_DETACH, helper.pid, nullptr, nullptr);
        const auto answer = await_answer(helper);
        REQUIRE(answer);
        INFO("errno " << answer->error << ", threads stopped " << answer->attempts);
        CHECK(answer->outcome == GraftOutcome::enforced);
        CHECK(keeper.handed_over() == 1);
        CHECK(victim.hear() == "ready");
        CHECK(filtered_threads(victim.pid()) == static_cast<int>(threads_of(victim.pid()).size()));
        check_answered(victim, keeper);
    }
}

TEST_CASE("an execve while it is grafted: filtered and answered for, or not filtered") {
    if (!possible()) {
        return;
    }
    int enforced = 0;
    for (int round = 0; round < 48; ++round) {
        Victim victim({"user", "futex"});
        Keeper keeper;
        Helper helper = start_graft(victim, keeper);
        std::this_thread::sleep_for(std::chrono::microseconds(100 * round));
        victim.tell('x');
        const auto answer = await_answer(helper);
        REQUIRE(answer);
        INFO("round " << round << ", outcome " << static_cast<int>(answer->outcome) << ", errno "
                      << answer->error << ", threads stopped " << answer->attempts);
        // The execve ends all other threads, the borrowed one too: at its end the listener is fetched.
        CHECK(victim.hear() == "ready");
        const bool filtered = filtered_threads(victim.pid()) > 0;
        CHECK(filtered == (answer->outcome == GraftOutcome::enforced));
        CHECK(victim.ask('f') == "ok");
        CHECK((keeper.trapped() > 0) == filtered);
        CHECK(victim.ask('w') == "0");
        enforced += filtered ? 1 : 0;
    }
    CHECK(enforced > 0);
}
