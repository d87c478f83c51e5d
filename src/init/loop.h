#pragma once
// gpc-init at work: waits for signals, helpers and handovers, and does what they call for, in bounded rounds.
// Never returns.

#include "init/state.h"
#include "wire/exit_ring.h"

namespace gpcsup::init {

[[noreturn]] void run(State& state, wire::ExitRing& ring, int signals);

}  // namespace gpcsup::init
