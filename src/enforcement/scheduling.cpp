#include "enforcement/scheduling.h"

#include <sched.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "enforcement/clock.h"
#include "wire/enforcement_table.h"

namespace gpcsup::enforcement {
namespace {

constexpr rlim_t spinning_us = 200'000;
constexpr std::uint64_t window_ns = 100'000'000;
constexpr long rest_ns = 50'000;

struct Attributes {  // struct sched_attr of sched_setattr(2), which no header of Debian 12's libc has
    std::uint32_t size;
    std::uint32_t policy;
    std::uint64_t flags;
    std::int32_t nice;
    std::uint32_t priority;
    std::uint64_t runtime;
    std::uint64_t deadline;
    std::uint64_t period;
};

void limit_spinning() {
    rlimit limit{};
    if (getrlimit(RLIMIT_RTTIME, &limit) == 0 && limit.rlim_max >= spinning_us) {
        limit.rlim_cur = spinning_us;
        setrlimit(RLIMIT_RTTIME, &limit);
    }
}

}  // namespace

Policy raise_priority() {
    sched_param parameter{};
    parameter.sched_priority = wire::enforce_priority;
    limit_spinning();
    // The kernel's own call: musl does not do scheduling policies.
    if (syscall(SYS_sched_setscheduler, 0, SCHED_FIFO | SCHED_RESET_ON_FORK, &parameter) == 0) {
        return Policy::fifo;
    }
    // A short slice (Linux 6.12) makes an ordinary thread be picked sooner after a wake-up; nice helps where
    // permitted.
    setpriority(PRIO_PROCESS, 0, -20);
    Attributes wanted{};
    wanted.size = sizeof(wanted);
    wanted.policy = SCHED_OTHER;
    wanted.nice = getpriority(PRIO_PROCESS, 0);
    wanted.runtime = 100'000;
    syscall(SYS_sched_setattr, 0, &wanted, 0);
    return Policy::ordinary;
}

void lock_pages() {
    mlockall(MCL_CURRENT | MCL_ONFAULT);
}

void Breather::breathe(std::uint64_t now) {
    if (now - window_start_ < window_ns) {
        return;
    }
    const std::uint64_t cpu = clock_ns(CLOCK_THREAD_CPUTIME_ID);
    if (window_start_ != 0 && (cpu - cpu_at_start_) * 2 > now - window_start_) {
        const timespec rest{0, rest_ns};
        nanosleep(&rest, nullptr);
    }
    window_start_ = now;
    cpu_at_start_ = cpu;
}

}  // namespace gpcsup::enforcement
