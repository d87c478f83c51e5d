#pragma once
// What the first process of a machine or container does before anything else.

#include "init/state.h"

namespace gpcsup::init {

// Mounts /proc, /sys, /dev, /dev/pts, /dev/shm and /run where they are missing, and tells what kind of PID 1
// this is.
Role prepare_system();
// Console, Ctrl-Alt-Del, host name, loopback.
void prepare_machine(Role role);
// Descriptors 0 to 2 exist, whoever started us: nothing of ours gets one of these numbers. Before /dev is
// mounted a directory stands in for /dev/null; called again afterwards, it is replaced.
void ensure_standard_descriptors();

}  // namespace gpcsup::init
