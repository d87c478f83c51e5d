#pragma once
// Moves pages of another process to other nodes: one slice of them, until its time is over. The rights are
// those that gpcsupd has. A page that is being moved may wait for a disk: gpcsupd kills a reader that waits
// too long.

#include "wire/reader.h"

namespace gpcsup::enforcement {

void move_slice(const wire::MoveRequest& request, wire::MoveAnswer& answer);

}  // namespace gpcsup::enforcement
