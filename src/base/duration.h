#pragma once
// Durations as people write them: "90s", "100ms", "1m30s", "2h". A bare number is refused, naming the right
// spelling.

#include <chrono>
#include <string>
#include <string_view>

#include "base/result.h"

namespace gpcsup::base {

using Duration = std::chrono::nanoseconds;

// Units: ns, us, ms, s, m (or min), h, d; several parts add up ("1m30s"). EINVAL with a hint otherwise.
Result<Duration> parse_duration(std::string_view text);

// The shortest exact spelling that parse_duration reads back: "1m30s", "100ms", "0s".
std::string format_duration(Duration duration);

// Rounded for a person: "3 d 4 h", "12 min", "45 s", "130 ms". At most two parts.
std::string describe_duration(Duration duration);

}  // namespace gpcsup::base
