#pragma once
// The listener to gpc-init, as gpc-exec does it: sent with one end of a socketpair, kept when a byte comes
// back.

#include <cstdint>

#include "exec/graft/process.h"
#include "exec/graft/tracing.h"

namespace gpcsup::exec {

int hand_over(const Descriptor& listener, std::uint64_t key, Moment until);  // an errno

}  // namespace gpcsup::exec
