#pragma once
// What --help prints, and the part of gpcsup(1) that lists the verbs; all from the table of verbs.

#include <string>

#include "cli/verbs.h"

namespace gpcsup::cli {

std::string program_help();
std::string verb_help(const Verb& verb);
// The sections COMMANDS and OPTIONS of the manual page, as roff.
std::string manual_sections();

}  // namespace gpcsup::cli
