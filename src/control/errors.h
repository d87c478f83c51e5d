#pragma once
// The client's side of error_names.h: a D-Bus error as a value, and a value as the exit code of the command
// line.

#include <string_view>

#include "base/result.h"

namespace gpcsup::control {

inline constexpr int unreachable_code = 107;  // ENOTCONN: no supervisor answers here
inline constexpr int exit_failed = 1;
inline constexpr int exit_timeout = 2;
inline constexpr int exit_inactive = 3;
inline constexpr int exit_not_found = 4;
inline constexpr int exit_denied = 5;
inline constexpr int exit_usage = 64;
inline constexpr int exit_unreachable = 69;

// The message is the whole sentence. An error of another origin (the bus library's own) says its name, too.
base::Error error_from_bus(std::string_view name, std::string_view message);

// What the command line exits with for an error.
int exit_status(const base::Error& error);

}  // namespace gpcsup::control
