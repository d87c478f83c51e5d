#include "init/priority.h"

#include <sched.h>
#include <sys/resource.h>

namespace gpcsup::init {

namespace {

constexpr int priority = 2;  // gpc-enforce has 1
constexpr rlim_t longest_round_us = 500'000;

}  // namespace

void raise_priority(State& state) {
    getrlimit(RLIMIT_RTTIME, &state.real_time);
    rlimit bounded = state.real_time;
    if (bounded.rlim_cur > longest_round_us) {
        bounded.rlim_cur = longest_round_us;
    }
    const sched_param parameter{priority};
    if (setrlimit(RLIMIT_RTTIME, &bounded) == 0) {
        sched_setscheduler(0, SCHED_FIFO | SCHED_RESET_ON_FORK, &parameter);  // refused: it does without
    }
}

void lower_priority() {
    const sched_param parameter{0};
    sched_setscheduler(0, SCHED_OTHER | SCHED_RESET_ON_FORK, &parameter);
}

void restore_limits(const State& state) {
    setrlimit(RLIMIT_NOFILE, &state.descriptors);
    setrlimit(RLIMIT_RTTIME, &state.real_time);
}

}  // namespace gpcsup::init
