#pragma once
// Errors are values. An Error says what was tried, on which object, and the errno; it is logged once, where
// it is decided what to do about it, never where it arises. This header knows nothing of processes, files or
// TOML.

#include <cstdint>
#include <expected>
#include <string>
#include <string_view>
#include <utility>

namespace gpcsup::base {

struct Error {
    int code = 0;  // an errno; chosen so that the command line can map it to an exit code (ENOENT, EACCES,
                   // ETIMEDOUT…)
    std::string tried;   // "open", "create the group", "attach"
    std::string object;  // a path, a key, "unit:/web", "process 4711"
    std::string hint;    // what to do about it; may be empty

    // One line for a person: "cannot TRIED OBJECT: STRERROR; HINT".
    [[nodiscard]] std::string message() const;
};

// std::expected that may not be dropped. Result<> carries no value.
template <class T = void>
class [[nodiscard]] Result : public std::expected<T, Error> {
  public:
    using std::expected<T, Error>::expected;
};

// fail(errno, "open", path) as a return value of any Result.
[[nodiscard]] std::unexpected<Error> fail(int code, std::string_view tried, std::string_view object,
                                          std::string_view hint = {});

// A failure whose whole sentence is written by the caller: nothing is put around TEXT.
[[nodiscard]] std::unexpected<Error> refuse(int code, std::string_view text, std::string_view hint = {});

// Hands the error of one Result on as the return value of another.
template <class T>
[[nodiscard]] std::unexpected<Error> pass(Result<T>& failed) {
    return std::unexpected<Error>(std::move(failed.error()));
}

}  // namespace gpcsup::base
