#pragma once
// Monotonic time in nanoseconds, the only time gpc-init knows. It goes on over an exec, so it may be kept in
// State.

#include <time.h>

#include <cstdint>

namespace gpcsup::init {

using Nanoseconds = std::uint64_t;

inline constexpr Nanoseconds millisecond = 1'000'000;
inline constexpr Nanoseconds second = 1'000'000'000;
inline constexpr Nanoseconds never = UINT64_MAX;

inline Nanoseconds to_nanoseconds(const timespec& time) {
    return static_cast<Nanoseconds>(time.tv_sec) * second + static_cast<Nanoseconds>(time.tv_nsec);
}

inline Nanoseconds now() {
    timespec time{};
    clock_gettime(CLOCK_MONOTONIC, &time);
    return to_nanoseconds(time);
}

inline timespec to_timespec(Nanoseconds time) {
    return {static_cast<time_t>(time / second), static_cast<long>(time % second)};
}

}  // namespace gpcsup::init
