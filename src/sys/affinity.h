#pragma once
// CPU affinity of whole processes: the mask of every thread, however many there are and however often they
// multiply meanwhile.

#include "base/cpu_list.h"
#include "base/process_id.h"
#include "base/result.h"
#include "sys/proc_files.h"

namespace gpcsup::sys {

class Affinity {
  public:
    virtual ~Affinity() = default;
    // Sets the mask on every thread, again until a pass finds no thread it has not set. ESRCH when the
    // process is gone.
    virtual base::Result<> set_process(base::ProcessId process, const base::CpuList& cpus) = 0;
    virtual base::Result<> set_thread(pid_t thread, const base::CpuList& cpus) = 0;
    virtual base::Result<base::CpuList> get(pid_t thread) = 0;
};

class RealAffinity final : public Affinity {
  public:
    explicit RealAffinity(ProcFiles& files) : files_(files) {}
    base::Result<> set_process(base::ProcessId process, const base::CpuList& cpus) override;
    base::Result<> set_thread(pid_t thread, const base::CpuList& cpus) override;
    base::Result<base::CpuList> get(pid_t thread) override;

  private:
    enum class Single { done, has_more };
    base::Result<Single> set_single(base::ProcessId process, const base::CpuList& cpus);
    base::Result<> set_threads(base::ProcessId process, const base::CpuList& cpus);
    ProcFiles& files_;
};

}  // namespace gpcsup::sys
