#pragma once
// The common slips, each with its own message: what TOML cannot read, and keys that other systems have. Pure
// text.

#include <optional>
#include <string>
#include <string_view>

#include "config/located.h"

namespace gpcsup::config {

// The parser's error, replaced by a sentence about the line where the slip is one that many make.
[[nodiscard]] Located explain_parse_error(std::string_view text, const Location& place,
                                          std::string_view description);

// "ExecStart" → what it is called here. Nothing for a word that no other system uses.
[[nodiscard]] std::optional<std::string_view> explain_foreign_key(std::string_view key);
[[nodiscard]] std::optional<std::string_view> explain_foreign_section(std::string_view section);

}  // namespace gpcsup::config
