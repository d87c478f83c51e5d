#pragma once
// What the journal's record of a group has beside its place and name: the attributes that every group has.
// Only those that are not the default are written. Those that were set are among the group's settings as
// well; the others it has from its parent of the moment when it was made.

#include "grouping/forest.h"
#include "supervisor/chronicle.h"

namespace gpcsup::supervisor {

void add_attributes(const grouping::Group& group, Json& record);
void restore_attributes(grouping::Group& group, const Json& record);

// Controller → why.
[[nodiscard]] Json holders_of(const grouping::Group& group);

}  // namespace gpcsup::supervisor
