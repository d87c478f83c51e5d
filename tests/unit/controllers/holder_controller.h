#pragma once
// What happens on the machine of the controller "lodger" (holder_controller.cpp).

#include "controllers/controller.h"

namespace gpcsup::test {

void lodgers_come(controllers::Host& host, grouping::GroupId group, unsigned count);
void lodgers_leave(controllers::Host& host, grouping::GroupId group);
void lodgers_leave_unseen(grouping::GroupId group);  // while no supervisor is there

}  // namespace gpcsup::test
