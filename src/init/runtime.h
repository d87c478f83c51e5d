#pragma once
// The runtime directory: made, checked, locked against a second gpc-init, and cleared at the end.

#include "init/state.h"

namespace gpcsup::init {

enum class Claimed { yes, no };  // no: said why, naming the other's pid if it is taken

Claimed claim_runtime(State& state);
// Removes the sockets, the lock and what only a living supervisor means something by.
void release_runtime(const State& state);

}  // namespace gpcsup::init
