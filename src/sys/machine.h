#pragma once
// What the machine has: CPUs and memory nodes that are online now.

#include "base/cpu_list.h"
#include "base/result.h"

namespace gpcsup::sys {

class Machine {
  public:
    virtual ~Machine() = default;
    virtual base::Result<base::CpuList> online_cpus() = 0;
    virtual base::Result<base::CpuList>
    online_nodes() = 0;  // of those, the ones that have memory; {0} without NUMA
};

class RealMachine final : public Machine {
  public:
    base::Result<base::CpuList> online_cpus() override;
    base::Result<base::CpuList> online_nodes() override;
};

}  // namespace gpcsup::sys
