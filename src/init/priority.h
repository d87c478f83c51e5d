#pragma once
// gpc-init stands above everything it must be able to replace: gpc-enforce runs under SCHED_FIFO where it
// may, and a runaway one on the only CPU would otherwise keep gpc-init from ever noticing that gpcsupd does
// not answer.

#include "init/state.h"

namespace gpcsup::init {

// SCHED_FIFO, one above gpc-enforce, where that is permitted; children start as ordinary processes. A loop of
// its own that never sleeps ends in SIGXCPU, which is one of the fatal signals.
void raise_priority(State& state);
// An ordinary process again, before long work like killing everything.
void lower_priority();
// In a child, before it becomes another program.
void restore_limits(const State& state);

}  // namespace gpcsup::init
