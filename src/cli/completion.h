#pragma once
// Completion scripts for shells, from the table of verbs. What changes while the scripts are in use (units,
// groups, attributes) they ask for with `gpcsup completion words KIND`.

#include <string>

namespace gpcsup::cli {

std::string bash_completion();
std::string zsh_completion();

}  // namespace gpcsup::cli
