#pragma once
// Resource limits of another process, prlimit(2): of exactly this one, not of whoever has its number by now.

#include <cstdint>

#include "base/process_id.h"
#include "base/result.h"
#include "sys/proc_files.h"

namespace gpcsup::sys {

struct ResourceLimit {
    std::uint64_t soft = 0;
    std::uint64_t hard = 0;
};

base::Result<ResourceLimit> get_limit(base::ProcessId process, int resource);
// ESRCH when it is gone; EPERM: not ours, or a hard limit that only CAP_SYS_RESOURCE may raise.
base::Result<> set_limit(ProcFiles& files, base::ProcessId process, int resource, const ResourceLimit& limit);
[[nodiscard]] ResourceLimit own_limit(int resource);

}  // namespace gpcsup::sys
