#include "init/priority.h"

#include <sched.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace gpcsup::init {

namespace {

constexpr int priority = 2;  // gpc-enforce has 1
constexpr rlim_t longest_round_us = 500'000;

// The kernel's own call: musl does not do scheduling policies. Refused: it does without.
void set_policy(int policy, int level) {
    const sched_param parameter{level};
    syscall(SYS_sched_setscheduler, 0, policy | SCHED_RESET_ON_FORK, &parameter);
}

}  // namespace

void raise_priority(State& state) {
    getrlimit(RLIMIT_RTTIME, &state.real_time);
    rlimit bounded = state.real_time;
    if (bounded.rlim_cur > longest_round_us) {
        bounded.rlim_cur = longest_round_us;
    }
    if (setrlimit(RLIMIT_RTTIME, &bounded) == 0) {
        set_policy(SCHED_FIFO, priority);
    }
}

void lower_priority() {
    set_policy(SCHED_OTHER, 0);
}

void restore_limits(const State& state) {
    setrlimit(RLIMIT_NOFILE, &state.descriptors);
    setrlimit(RLIMIT_RTTIME, &state.real_time);
}

}  // namespace gpcsup::init
