#pragma once
// A command written as one string: split as a shell splits it, with its quoting and without any expansion.
// What only a shell can do is refused, showing how to ask one.

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace gpcsup::config {

// EINVAL: an operator or an expansion that is not quoted, an open quote, nothing at all.
base::Result<std::vector<std::string>> split_words(std::string_view command);

}  // namespace gpcsup::config
