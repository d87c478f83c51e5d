// gpc-graft is killed before one of its own system calls, at places spread over its whole run. Whatever it
// had done by then, the process goes on, and a successor ends what was begun.

#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <csignal>

#include "system/grafting/operation.h"

using namespace gpcsup;
using namespace gpcsup::test;
using wire::GraftMode;
using wire::GraftOutcome;

namespace {

constexpr int endless = 1 << 30;

// Lets a traced gpc-graft make `calls` system calls, then kills it; how many it made before it ended.
int run_calls(pid_t helper, int calls) {
    int status = 0;
    int made = 0;
    if (waitpid(helper, &status, 0) != helper || !WIFSTOPPED(status)) {  // at its execve
        return 0;
    }
    ptrace(PTRACE_SETOPTIONS, helper, nullptr, PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL);
    int signal = 0;
    for (bool entry = true; made < calls;) {
        if (ptrace(PTRACE_SYSCALL, helper, nullptr, signal) != 0 || waitpid(helper, &status, 0) != helper ||
            !WIFSTOPPED(status)) {
            return made;  // it has ended
        }
        const bool call = WSTOPSIG(status) == (SIGTRAP | 0x80);
        signal = call ? 0 : WSTOPSIG(status);
        made += call && entry ? 1 : 0;
        entry = call ? !entry : entry;
    }
    kill(helper, SIGKILL);
    waitpid(helper, &status, 0);
    return made;
}

Helper start_traced(const Victim& victim, const Keeper& keeper) {
    return start_graft(victim, keeper, GraftMode::fresh, Filter::tasks, 20s,
                       [] { ptrace(PTRACE_TRACEME, 0, nullptr, nullptr); });
}

const std::vector<std::string> roles = {"user", "nanosleep", "futex", "writer", "reader"};

// In the last third of its run most of what matters happens; its first is its own start.
int place_of(int index, int places, int all) {
    return 1 + index * (all - 1) / (places - 1);
}

}  // namespace

TEST_CASE("gpc-graft dies anywhere: the process goes on, and a successor ends what was begun") {
    if (!possible()) {
        return;
    }
    int all = 0;
    {
        Victim victim(roles);
        Keeper keeper;
        Helper helper = start_traced(victim, keeper);
        all = run_calls(helper.pid, endless);
        REQUIRE(all > 24);
    }
    constexpr int places = 24;
    int filtered = 0;
    int untouched = 0;
    for (int index = 0; index < places; ++index) {
        Victim victim(roles);
        Keeper keeper;
        Helper helper = start_traced(victim, keeper);
        const int place = place_of(index, places, all);
        run_calls(helper.pid, place);
        INFO("killed before call " << place << " of " << all);
        // The trampoline needs no tracer to come to its end.
        const bool has_filter = filtered_threads(victim.pid()) > 0;
        filtered += has_filter ? 1 : 0;
        untouched += has_filter ? 0 : 1;
        CHECK(victim.ask('e') == "ok");
        CHECK(victim.ask('w') == "0");
        const wire::GraftAnswer answer = graft(victim, keeper, GraftMode::recover);
        INFO("outcome " << static_cast<int>(answer.outcome) << ", errno " << answer.error);
        // Killed between the end of its work and its answer: gpc-init has the listener, and nobody else.
        const bool was_over = answer.outcome == GraftOutcome::no_listener && keeper.handed_over() == 1;
        CHECK((answer.outcome == GraftOutcome::enforced || was_over));
        CHECK(filtered_threads(victim.pid()) == static_cast<int>(threads_of(victim.pid()).size()));
        CHECK(listeners_in(victim.pid()) == 0);
        keeper.refuse(EAGAIN);
        CHECK(victim.ask('f') == "errno 11");
        keeper.refuse(0);
        CHECK(victim.ask('f') == "ok");
        CHECK(victim.ask('e') == "ok");
        CHECK(victim.ask('w') == "0");
    }
    CHECK(filtered > 0);
    CHECK(untouched > 0);
}
