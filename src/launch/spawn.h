#pragma once
// The one way in which a service is started: clone3 with CLONE_VM | CLONE_FILES | CLONE_VFORK (the same cost
// whatever the supervisor's size, in memory and in descriptors) and CLONE_PARENT (the child belongs to
// gpc-init from birth). The kernel writes the pid into the start slot before the child runs. Waits for
// nothing: whether the program was executed is told by the status pipe and the slot.

#include <sys/types.h>

#include <string>

#include "base/fd.h"
#include "base/result.h"
#include "launch/descriptor_lane.h"
#include "launch/plan.h"
#include "launch/slots.h"

namespace gpcsup::launch {

struct SpawnRequest {
    const LaunchRequest& launch;
    const DescriptorLane* lane;  // null: the child copies the whole table
    StartSlots& slots;
    SlotId slot;               // acquired, its intent journalled
    std::string exec_program;  // path of gpc-exec
};

struct Spawned {
    pid_t pid = 0;
    base::Fd pidfd;
    // End of file: execve succeeded (no failure in the slot), or gpc-exec gave up and the slot says at which
    // step, or it was killed before (no failure in the slot either; then the pidfd is readable, too).
    base::Fd status;
};

// An error means that no process was made. Should gpc-exec itself be missing, the slot says step `plan` with
// that errno.
base::Result<Spawned> spawn(const SpawnRequest& request);

}  // namespace gpcsup::launch
