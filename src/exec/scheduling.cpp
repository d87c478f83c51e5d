#include "exec/scheduling.h"

#include <cerrno>
#include <csignal>
#include <cstring>

#include <sched.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace gpcsup::exec {
namespace {

int set_limit(const wire::PlanLimit& wanted) {
    rlimit limit{};
    limit.rlim_cur = wanted.soft;
    limit.rlim_max = wanted.hard;
    return setrlimit(static_cast<decltype(RLIMIT_CPU)>(wanted.resource), &limit) == 0 ? 0 : errno;
}

int apply_matching_limits(const Plan& plan, bool descriptors) {
    const auto* limits = plan.array<wire::PlanLimit>(plan.header().limits);
    for (std::uint32_t i = 0; i < plan.header().limits.count; ++i) {
        if ((limits[i].resource == RLIMIT_NOFILE) == descriptors) {
            if (const int error = set_limit(limits[i]); error != 0) {
                return error;
            }
        }
    }
    return 0;
}

}  // namespace

// The kernel's own calls: a C library keeps two or three signals to itself and refuses to speak of them, and
// musl does not do scheduling policies at all.
void restore_defaults() {
    constexpr int last_signal = 64;
    struct {  // struct sigaction as the kernel has it
        void (*handler)(int) = SIG_DFL;
        unsigned long flags = 0;
        void (*restorer)() = nullptr;
        std::uint64_t mask = 0;
    } const action;
    for (int number = 1; number <= last_signal; ++number) {
        syscall(SYS_rt_sigaction, number, &action, nullptr, sizeof(action.mask));
    }
    syscall(SYS_rt_sigprocmask, SIG_SETMASK, &action.mask, nullptr, sizeof(action.mask));

    const auto policy = static_cast<int>(syscall(SYS_sched_getscheduler, 0)) & ~SCHED_RESET_ON_FORK;
    if (policy == SCHED_FIFO || policy == SCHED_RR) {
        const sched_param ordinary{};
        syscall(SYS_sched_setscheduler, 0, SCHED_OTHER, &ordinary);
    }
    rlimit limit{};
    if (getrlimit(RLIMIT_RTTIME, &limit) == 0 && limit.rlim_cur != limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_RTTIME, &limit);
    }
}

int apply_limits(const Plan& plan) {
    return apply_matching_limits(plan, false);
}

int apply_descriptor_limit(const Plan& plan) {
    return apply_matching_limits(plan, true);
}

int apply_priority(const Plan& plan) {
    const int wanted = plan.header().nice;
    errno = 0;
    const int current = getpriority(PRIO_PROCESS, 0);
    if (current == wanted) {
        return 0;
    }
    if (setpriority(PRIO_PROCESS, 0, wanted) != 0 && wanted != 0) {
        return errno;
    }
    return 0;  // back to 0 from a supervisor that runs nice is a wish: an ordinary user may not raise it
               // again
}

int apply_affinity(const Plan& plan) {
    const wire::PlanSpan& span = plan.header().affinity;
    const auto* words = plan.array<std::uint64_t>(span);
    if (span.count == 0) {
        return 0;
    }
    return syscall(SYS_sched_setaffinity, 0, span.count * sizeof(std::uint64_t), words) == 0 ? 0 : errno;
}

int apply_memory_policy(const Plan& plan) {
    const wire::LaunchPlan& header = plan.header();
    if (header.memory_mode == 0 && header.memory_nodes.count == 0) {
        return 0;
    }
    const auto* words = plan.array<std::uint64_t>(header.memory_nodes);
    const unsigned long bits = header.memory_nodes.count * 64UL;
    // The kernel takes the highest bit number plus one, and reads one bit fewer than it is told.
    return syscall(SYS_set_mempolicy, header.memory_mode, words, bits == 0 ? 0 : bits + 1) == 0 ? 0 : errno;
}

}  // namespace gpcsup::exec
