#pragma once
// gpc-init stands above everything it must be able to replace: gpc-enforce runs under SCHED_FIFO where it
// may, and a runaway one on the only CPU would otherwise keep gpc-init from ever noticing that gpcsupd does
// not answer.

#include "init/clock.h"
#include "init/state.h"

namespace gpcsup::init {

// SCHED_FIFO, one above gpc-enforce, where that is permitted; children start as ordinary processes. A loop of
// its own that never comes to an end ends in SIGXCPU, which is one of the fatal signals.
void raise_priority(State& state);
// The bound anew, after a SIGXCPU: the kernel has raised it by a second then (check_rlimit in
// kernel/time/posix-cpu-timers.c). As setrlimit(2).
int bound_work(const State& state);
// Whoever works on without sleeping (thousands of children that end at once) is no such loop: sleeps 50 us
// whenever a fifth of the bound has been worked since the last time. Cheap to call in every round.
class Breather {
  public:
    Breather();
    void breathe();

  private:
    Nanoseconds after_;
    Nanoseconds last_ = 0;  // by the thread's CPU clock
};
// An ordinary process again, before long work like killing everything.
void lower_priority();
// In a child, before it becomes another program.
void restore_limits(const State& state);

}  // namespace gpcsup::init
