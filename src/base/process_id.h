#pragma once
// The only identity of a process: pid and start time together. A pid alone is a number that the kernel
// reuses.

#include <sys/types.h>

#include <compare>
#include <cstdint>

namespace gpcsup::base {

struct ProcessId {
    pid_t pid = 0;
    std::uint64_t start_time = 0;  // clock ticks since boot: field 22 of /proc/PID/stat, see proc(5)

    auto operator<=>(const ProcessId&) const = default;
};

}  // namespace gpcsup::base
