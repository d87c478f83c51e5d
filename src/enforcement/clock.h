#pragma once
// Time as the shared table has it: CLOCK_MONOTONIC in nanoseconds.

#include <cstdint>
#include <ctime>

namespace gpcsup::enforcement {

inline std::uint64_t clock_ns(clockid_t clock) {
    timespec now{};
    clock_gettime(clock, &now);
    return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<std::uint64_t>(now.tv_nsec);
}

inline std::uint64_t now_ns() {
    return clock_ns(CLOCK_MONOTONIC);
}

}  // namespace gpcsup::enforcement
