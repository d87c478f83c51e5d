#pragma once
// The last resort of a machine's PID 1: a shell on the console, for a person to repair what keeps gpcsupd
// from starting.

#include "init/state.h"

namespace gpcsup::init {

// Starts it, saying REASON and what its exit will do. State::shell is its pid; stays 0 when no shell can be
// started.
void start_shell(State& state, const char* reason);

}  // namespace gpcsup::init
