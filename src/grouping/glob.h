#pragma once
// Patterns of names: `*` any text, `?` one character, `[abc]`, `[a-z]`, `[!a]` one of a set. Pure; linear in
// memory and at worst quadratic in time.

#include <string_view>

#include "base/result.h"

namespace gpcsup::grouping {

base::Result<> check_glob(std::string_view pattern);  // EINVAL says what is wrong with it
[[nodiscard]] bool glob_matches(std::string_view pattern, std::string_view text);

}  // namespace gpcsup::grouping
