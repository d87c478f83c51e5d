#pragma once
// The graft of one process, from the first look to the last: threads are borrowed one after the other, the
// fittest first, until one of them has set the filter for all; then the copies of the listener are closed, in
// the process and in whom it has forked meanwhile. What a predecessor has begun is ended.

#include "wire/graft.h"

namespace gpcsup::exec {

wire::GraftAnswer graft(const wire::GraftRequest& request);

}  // namespace gpcsup::exec
