#pragma once
// Processes that did not do what was asked (kill, freeze): named on standard error.

#include "cli/json.h"

namespace gpcsup::cli {

// The exit code: 0 when there are none in ANSWER's "survivors", else 1.
int complain_of_survivors(const Json& answer);

}  // namespace gpcsup::cli
