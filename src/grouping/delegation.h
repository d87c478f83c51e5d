#pragma once
// Who may manage which groups. A group's owner (a uid) has been delegated what lies below it: he makes,
// names, removes and limits the groups there, and nothing else. Pure: what root and the supervisor's own user
// may is not decided here.

#include "base/result.h"
#include "grouping/forest.h"

namespace gpcsup::grouping {

// What somebody wants to do with a group.
enum class Manage {
    create,  // a group in it
    remove,  // the group itself
    rename,
    set_limit,  // an attribute that binds the group: a controller's, or group.max_*
    set_flag,   // an attribute that binds nobody
    set_owner,
    attach,  // processes into it, or out of it
    signal,
    freeze,
};

// EACCES says to whom the group is delegated. The top of a delegated tree is not the delegatee's to remove,
// rename or limit: what binds it is its delegator's word, as in the kernel's cgroup v2. The owner is never a
// delegatee's to change.
[[nodiscard]] base::Result<> may_manage(const Forest& forest, std::uint32_t uid, GroupId group, Manage what);

}  // namespace gpcsup::grouping
