#pragma once
// How much memory processes have, from /proc. May wait for ever for one that holds its own lock: gpcsupd then
// kills the reader.

#include "wire/reader.h"

namespace gpcsup::enforcement {

void read_figures(const wire::MemoryRequest& request, wire::MemoryAnswer& answer);

}  // namespace gpcsup::enforcement
