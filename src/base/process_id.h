#pragma once
// The only identity of a process, and of a thread: its number and its start time together. A number alone is
// one that the kernel reuses.

#include <sys/types.h>

#include <compare>
#include <cstdint>

namespace gpcsup::base {

struct ProcessId {
    pid_t pid = 0;
    std::uint64_t start_time = 0;  // clock ticks since boot: field 22 of /proc/PID/stat, see proc(5)

    auto operator<=>(const ProcessId&) const = default;
};

struct ThreadId {
    ProcessId process;
    pid_t tid = 0;                 // of the main thread: the process's number
    std::uint64_t start_time = 0;  // its own, in the same ticks

    auto operator<=>(const ThreadId&) const = default;
};

}  // namespace gpcsup::base
