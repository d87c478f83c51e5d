#pragma once
// What the kernel tells of CPUs and memory nodes that come and go: its uevents, which anybody may read in the
// network namespaces of the machine's own users. Elsewhere the socket opens and stays silent, so whoever
// needs to know for certain looks from time to time as well.

#include <string_view>

#include "base/fd.h"
#include "base/result.h"

namespace gpcsup::sys {

base::Result<base::Fd> open_hotplug();
// Takes what there is, without waiting. Whether any of it was about a CPU or a memory node; true also when
// the kernel had to drop something.
bool take_hotplug(int socket);
// "online@/devices/system/cpu/cpu3" and what follows.
[[nodiscard]] bool is_of_cpu_or_node(std::string_view message);

}  // namespace gpcsup::sys
