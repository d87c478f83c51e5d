#pragma once
// The other answers as text, one function each. Pure.

#include <string>

#include "cli/json.h"
#include "cli/look.h"

namespace gpcsup::cli {

std::string render_list(const Json& answer, const Look& look);
std::string render_processes(const Json& answer, const Look& look);
std::string render_tree(const Json& answer, const Look& look);
// "numfiles (3 open files), memory (a page)": a group's holders.
std::string holders_text(const Json& held_by);
std::string render_groups(const Json& answer, const Look& look);
std::string render_hierarchies(const Json& answer, const Look& look);
std::string render_attributes(const Json& answer, const Look& look);
// {"groups": [{"group", "resources": [{"resource", "held", …}]}]}, in the columns of
// /proc/user_beancounters 2.5.
std::string render_beancounters(const Json& answer, const Look& look);
std::string render_attached(const Json& answer, const Look& look);
std::string render_why(const Json& answer, const Look& look);
// One event (a JSON object) as one line.
std::string render_event(const Json& event, const Look& look);

}  // namespace gpcsup::cli
