#pragma once
// Signals by name, as people write them: "TERM", "SIGTERM", "term", "15", "RTMIN+3".

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace gpcsup::cli {

base::Result<int> parse_signal(std::string_view text);
std::vector<std::string> signal_names();  // without SIG

}  // namespace gpcsup::cli
