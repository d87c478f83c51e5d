#include "sys/clocks.h"

#include <cerrno>
#include <ctime>
#include <string>

namespace gpcsup::sys {
namespace {

std::chrono::nanoseconds to_duration(const timespec& time) {
    return std::chrono::seconds(time.tv_sec) + std::chrono::nanoseconds(time.tv_nsec);
}

std::chrono::nanoseconds read_clock(clockid_t clock) {
    timespec time{};
    ::clock_gettime(clock, &time);
    return to_duration(time);
}

// How the kernel numbers the scheduler's clock of a process; clock_getcpuclockid(3) does the same with one
// system call more.
clockid_t process_clock(pid_t pid) {
    constexpr unsigned scheduler_clock = 2;
    return static_cast<clockid_t>((~static_cast<unsigned>(pid) << 3) | scheduler_clock);
}

}  // namespace

std::chrono::nanoseconds RealClocks::monotonic() {
    return read_clock(CLOCK_MONOTONIC);
}

std::chrono::nanoseconds RealClocks::real() {
    return read_clock(CLOCK_REALTIME);
}

std::chrono::nanoseconds RealClocks::boot() {
    return read_clock(CLOCK_BOOTTIME);
}

base::Result<std::chrono::nanoseconds> RealClocks::process(pid_t pid) {
    timespec time{};
    if (pid <= 0 || ::clock_gettime(process_clock(pid), &time) != 0) {
        return base::fail(ESRCH, "read the CPU clock of", "process " + std::to_string(pid));
    }
    return to_duration(time);
}

}  // namespace gpcsup::sys
