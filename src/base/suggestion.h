#pragma once
// "Did you mean …?": the nearest known word, or nothing when none is near enough to be a slip of the fingers.

#include <optional>
#include <span>
#include <string_view>

namespace gpcsup::base {

// Nearest by Damerau-Levenshtein distance, at most a third of the word's length (and at least 1) away.
std::optional<std::string_view> nearest(std::string_view word, std::span<const std::string_view> known);

}  // namespace gpcsup::base
