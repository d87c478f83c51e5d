// gpc-init: the first process of a machine or container, or the reaper of a tree. Keeps what must survive,
// and little else.

#include <linux/close_range.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "init/boot.h"
#include "init/emergency.h"
#include "init/helpers.h"
#include "init/loop.h"
#include "init/options.h"
#include "init/priority.h"
#include "init/protocol.h"
#include "init/reaper.h"
#include "init/runtime.h"
#include "init/say.h"
#include "init/shutdown.h"
#include "init/signals.h"
#include "init/state.h"

namespace gpcsup::init {

namespace {

constexpr int usage_status = 64;

void find_self(State& state) {
    ssize_t length = readlink("/proc/self/exe", state.executable, sizeof state.executable - 1);
    state.executable[length > 0 ? length : 0] = '\0';
}

void raise_descriptor_limit(State& state) {
    getrlimit(RLIMIT_NOFILE, &state.descriptors);
    rlimit raised = state.descriptors;
    raised.rlim_cur = raised.rlim_max;
    setrlimit(RLIMIT_NOFILE, &raised);
}

// A PID 1 goes on whatever happens: without a runtime directory gpcsupd fails, and the emergency shell tells.
bool must_run(const State& state) {
    return state.role == Role::machine;
}

void first_start(State& state, int count, char** arguments) {
    switch (parse_options(state, count, arguments)) {
        case Parsed::done:
            _exit(0);
        case Parsed::wrong:
            _exit(usage_status);
        case Parsed::run:
            break;
    }
    if (state.role != Role::subreaper) {
        prepare_machine(state.role);
    }
    find_self(state);
    raise_descriptor_limit(state);
    raise_priority(state);
    const bool claimed = choose_directories(state) == Chosen::yes && claim_runtime(state) == Claimed::yes;
    if ((!claimed || prepare_kept(state) == Prepared::no) && !must_run(state)) {
        _exit(1);
    }
    want_helper(state, wire::HelperKind::supervisor);
}

// Three fatal signals within ten seconds: whatever causes them would come again, so nothing of it is touched.
void after_three_strikes(State& state) {
    if (state.role != Role::machine) {
        say("three fatal signals within ten seconds: giving up");
        leave(state, given_up_status);
    }
    start_shell(state, "gpc-init itself has failed three times within ten seconds.");
    if (state.shell != 0) {
        // Zombies and messages wait meanwhile; nothing of them is lost.
        while (waitpid(state.shell, nullptr, __WALL) < 0 && errno == EINTR) {
        }
        state.shell = 0;
    }
    state.fatal_count = 0;
}

void come_back(State& state) {
    const std::uint32_t lost = state.table.forget_closed();
    if (lost > 0) {
        say("%u kept descriptors are gone", lost);
    }
    if (state.role == Role::machine) {
        say_to_kernel_log();
    }
    if (count_strikes(state) == Strikes::out) {
        after_three_strikes(state);
    }
    replace_outdated(state);
    bound_work(state);
    say("back, with %u rows of kept descriptors", state.table.used);
}

}  // namespace

}  // namespace gpcsup::init

int main(int count, char** arguments) {
    namespace init = gpcsup::init;
    init::ensure_standard_descriptors();
    init::State* state = init::inherit_state(arguments, environ);
    const bool first = state == nullptr;
    if (first) {
        // What we were started with is not our helpers' business. (musl has no function for it.)
        syscall(SYS_close_range, STDERR_FILENO + 1, ~0u, CLOSE_RANGE_CLOEXEC);
        const init::Role role = getpid() == 1 ? init::prepare_system() : init::Role::subreaper;
        state = init::create_state();
        if (state == nullptr) {
            return 1;
        }
        state->role = role;
    }
    const int signals = init::take_signals(*state);
    if (signals < 0) {
        return 1;
    }
    if (first) {
        init::first_start(*state, count, arguments);
    }
    init::hold_image(*state);
    init::prepare_reexec(*state, arguments, environ);
    if (getpid() != 1) {
        prctl(PR_SET_CHILD_SUBREAPER, 1);
    }
    if (!first) {
        init::come_back(*state);
    }
    gpcsup::wire::ExitRing* ring = init::map_exit_ring(*state);
    if (ring == nullptr) {
        return 1;
    }
    init::run(*state, *ring, signals);
}
