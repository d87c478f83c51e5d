#pragma once
// The command line and the directories that follow from it. Fills the paths of State; creates nothing.

#include "init/state.h"

namespace gpcsup::init {

enum class Parsed { run, done, wrong };  // done: --help or --version was answered; wrong: said why

Parsed parse_options(State& state, int count, char** arguments);

enum class Chosen { yes, no };  // no: said why

// The runtime and log directories where no option named them: /run/gpcsup and /var/log/gpcsup for root, the
// XDG ones for a user (with the fallback that INTERFACE.md names, and its warning).
Chosen choose_directories(State& state);

}  // namespace gpcsup::init
