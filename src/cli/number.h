#pragma once
// Whole numbers on a command line.

#include <cerrno>
#include <charconv>
#include <cstdint>
#include <string>

#include "base/result.h"

namespace gpcsup::cli {

inline base::Result<std::uint64_t> parse_number(const std::string& option, const std::string& text) {
    std::uint64_t number = 0;
    const auto [at, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (error != std::errc() || at != text.data() + text.size()) {
        return base::refuse(EINVAL, option + " needs a whole number, not \"" + text + "\"");
    }
    return number;
}

}  // namespace gpcsup::cli
