#pragma once
// Text as TOML writes it: for what is printed and may be pasted into a file. Pure.

#include <string>
#include <string_view>

namespace gpcsup::base {

// A basic string in its quotes, which TOML reads back as this very text: two different texts never print the
// same.
[[nodiscard]] std::string toml_quoted(std::string_view text);

}  // namespace gpcsup::base
