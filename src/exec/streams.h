#pragma once
// Descriptors: what the service gets as 0, 1, 2, 3…, and everything else close-on-exec.

#include "exec/plan.h"

namespace gpcsup::exec {

struct Descriptors {  // those gpc-exec itself still needs, moved out of the service's way; -1 = none
    int slots = -1;
    int status = -1;
    int handover = -1;
};

// Brings every descriptor of the plan to its place. Returns an errno.
int arrange_descriptors(const Plan& plan, Descriptors& own);

// New session, and the controlling terminal when the plan asks for one. Returns an errno.
int enter_session(const Plan& plan);

}  // namespace gpcsup::exec
