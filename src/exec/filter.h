#pragma once
// The seccomp filter and the handing over of its listener. Everything that needs a descriptor is made before
// the filter is set, because the filter may trap the calls that make one; from there to execve only sendmsg,
// poll, read and close follow.

#include "exec/plan.h"

namespace gpcsup::exec {

struct Acknowledgement {  // a socketpair: `theirs` goes to gpc-init with the listener, `ours` hears that it
                          // is kept
    int ours = -1;
    int theirs = -1;
};

// Each returns an errno.
int prepare_acknowledgement(Acknowledgement& made);
int forbid_new_privileges();
int install_filter(const Plan& plan, int& listener);
int hand_over(const Plan& plan, int handover, const Acknowledgement& acknowledgement, int listener);

}  // namespace gpcsup::exec
