#include "control/errors.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <string>

#include "control/error_names.h"

namespace gpcsup::control {

static_assert(unreachable_code == ENOTCONN);

namespace {

// Errors that the bus library makes itself, where they say the same as one of ours.
struct ForeignRow {
    std::string_view name;
    int code;
};
constexpr std::array foreign{
    ForeignRow{"org.freedesktop.DBus.Error.AccessDenied", EACCES},
    ForeignRow{"org.freedesktop.DBus.Error.InvalidArgs", EINVAL},
    ForeignRow{"org.freedesktop.DBus.Error.Timeout", ETIMEDOUT},
    ForeignRow{"org.freedesktop.DBus.Error.UnknownObject", ENOENT},
};

}  // namespace

base::Error error_from_bus(std::string_view name, std::string_view message) {
    base::Error error{EIO, std::string(message.empty() ? name : message), {}, {}};
    if (name.starts_with("org.gpcsup1.Error.")) {
        error.code = error_name(name).code;
        return error;
    }
    const auto row = std::ranges::find(foreign, name, &ForeignRow::name);
    if (row != foreign.end()) {
        error.code = row->code;
    } else {
        error.tried = std::string(name) + ": " + std::string(message);
    }
    return error;
}

int exit_status(const base::Error& error) {
    return error.code == unreachable_code ? exit_unreachable : error_name(error.code).exit_code;
}

}  // namespace gpcsup::control
