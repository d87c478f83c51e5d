#pragma once
// The last steps: groups, user, the bond to gpc-init, and the program itself.

#include "exec/account.h"
#include "exec/plan.h"

namespace gpcsup::exec {

// Each returns an errno.
int become_groups(const Account& account);
int become_user(const Account& account);
// The parent-death signal is cleared by a change of user, so it is set after it; and the parent may have died
// just before.
int bind_to_parent(const Plan& plan);
// Returns only when it failed.
int execute(const Plan& plan, const Account& account);

}  // namespace gpcsup::exec
