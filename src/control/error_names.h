#pragma once
// The errors of the control bus, docs/bus.md: one table for both ends.

#include <cerrno>
#include <string_view>

namespace gpcsup::control {

struct ErrorName {
    std::string_view name;
    int exit_code;  // of the command line
    int code;       // the errno that stands for it in a base::Error
};

inline constexpr std::string_view error_prefix = "org.gpcsup1.Error.";
inline constexpr ErrorName error_names[] = {
    {"org.gpcsup1.Error.Failed", 1, EIO},     {"org.gpcsup1.Error.Timeout", 2, ETIMEDOUT},
    {"org.gpcsup1.Error.Inactive", 3, ESRCH}, {"org.gpcsup1.Error.NotFound", 4, ENOENT},
    {"org.gpcsup1.Error.Denied", 5, EACCES},  {"org.gpcsup1.Error.Usage", 64, EINVAL},
    {"org.gpcsup1.Error.Busy", 1, EBUSY},
};

// The name for an errno; Failed for one that has none of its own.
[[nodiscard]] constexpr const ErrorName& error_name(int code) {
    const int known = code == EPERM ? EACCES : code == E2BIG || code == ERANGE ? EINVAL : code;
    for (const ErrorName& row : error_names) {
        if (row.code == known) {
            return row;
        }
    }
    return error_names[0];
}

// The same without its prefix, as it is in JSON: "Inactive".
[[nodiscard]] constexpr std::string_view error_word(int code) {
    return error_name(code).name.substr(error_prefix.size());
}

[[nodiscard]] constexpr const ErrorName& error_name(std::string_view name) {
    for (const ErrorName& row : error_names) {
        if (row.name == name) {
            return row;
        }
    }
    return error_names[0];
}

}  // namespace gpcsup::control
