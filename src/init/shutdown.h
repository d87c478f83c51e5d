#pragma once
// The last step: nothing of ours is left running, file systems are clean, then exit(2) or reboot(2). Every
// part of it is bounded in time.

#include "init/state.h"

namespace gpcsup::init {

inline constexpr int given_up_status = 70;

// For a subreaper or the PID 1 of a container. Kills every descendant, clears the runtime directory, exits.
[[noreturn]] void leave(State& state, int status);
// For PID 1. In a container the `how` becomes an exit; on a machine this is the end of it.
[[noreturn]] void stop_system(State& state, wire::StopHow how);
// Without asking anybody: a person insisted.
[[noreturn]] void reboot_now();

}  // namespace gpcsup::init
