#pragma once
// Signals, limits, priority, affinity and memory policy: what a process inherits and a service must not
// inherit by accident.

#include "exec/plan.h"

namespace gpcsup::exec {

// All dispositions to their default, nothing blocked, ordinary scheduling, no soft limit on real-time CPU.
// Never fails a start.
void restore_defaults();

// Each returns an errno. Descriptor limits come last of all, after the last descriptor that gpc-exec itself
// makes.
int apply_limits(const Plan& plan);
int apply_descriptor_limit(const Plan& plan);
int apply_priority(const Plan& plan);
int apply_affinity(const Plan& plan);
int apply_memory_policy(const Plan& plan);

}  // namespace gpcsup::exec
