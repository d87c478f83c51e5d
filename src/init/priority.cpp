#include "init/priority.h"

#include <sched.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

namespace gpcsup::init {

namespace {

constexpr int priority = 2;                  // gpc-enforce has 1
constexpr rlim_t longest_work_us = 500'000;  // of real-time work without sleeping
constexpr Nanoseconds part_of_longest = 5;
constexpr timespec breath{0, 50'000};

// The kernel's own call: musl does not do scheduling policies. Refused: it does without.
void set_policy(int policy, int level) {
    const sched_param parameter{level};
    syscall(SYS_sched_setscheduler, 0, policy | SCHED_RESET_ON_FORK, &parameter);
}

}  // namespace

void raise_priority(State& state) {
    getrlimit(RLIMIT_RTTIME, &state.real_time);
    if (bound_work(state) == 0) {
        set_policy(SCHED_FIFO, priority);
    }
}

int bound_work(const State& state) {
    rlimit bounded = state.real_time;
    if (bounded.rlim_cur > longest_work_us) {
        bounded.rlim_cur = longest_work_us;
    }
    return setrlimit(RLIMIT_RTTIME, &bounded);
}

Breather::Breather() {
    rlimit bound{};
    getrlimit(RLIMIT_RTTIME, &bound);
    const rlim_t longest = bound.rlim_cur < longest_work_us ? bound.rlim_cur : longest_work_us;
    after_ = static_cast<Nanoseconds>(longest) * 1000 / part_of_longest;
}

void Breather::breathe() {
    timespec used{};
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used);
    const Nanoseconds worked = to_nanoseconds(used);
    if (worked - last_ >= after_) {
        nanosleep(&breath, nullptr);
        last_ = worked;
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
