#pragma once
// The status screen, and the block about one unit. Pure: the supervisor's answer in, text out.

#include <string>

#include "cli/json.h"
#include "cli/look.h"

namespace gpcsup::cli {

// One screen: the supervisor, a row a unit, and what is not well.
std::string render_overview(const Json& status, const Look& look);

// All about one UNIT of a Status answer; PROCESSES is its answer of Processes, or null.
std::string render_unit(const Json& unit, const Json& processes, const Look& look);

}  // namespace gpcsup::cli
