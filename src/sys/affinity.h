#pragma once
// CPU affinity of whole processes: the mask of every thread but those that are named, however many there are
// and however often they multiply meanwhile; and of single threads.

#include <functional>
#include <optional>
#include <span>

#include "base/cpu_list.h"
#include "base/process_id.h"
#include "base/result.h"
#include "sys/proc_files.h"

namespace gpcsup::sys {

class Affinity {
  public:
    virtual ~Affinity() = default;
    using Threads = std::span<const base::ThreadId>;
    // Sets the mask on every thread but these, again until a pass finds no thread it has not set. ESRCH when
    // the process is gone.
    virtual base::Result<> set_process(base::ProcessId process, const base::CpuList& cpus,
                                       Threads except) = 0;
    // The same for those threads only that have a CPU outside of `cpus`, or exactly `before`: a narrower mask
    // is the thread's own wish and stays.
    virtual base::Result<> adapt_process(base::ProcessId process, const base::CpuList& before,
                                         const base::CpuList& cpus, Threads except) = 0;
    // The same for those threads for which `choose` has another mask than the one they have, which it is
    // given whole.
    using Choose =
        std::function<std::optional<base::CpuList>(const base::ThreadId& thread, const base::CpuList& whole)>;
    virtual base::Result<> settle_process(base::ProcessId process, const Choose& choose, Threads except) = 0;
    // With the CPUs that are offline: get() leaves those out, as sched_getaffinity does, and the thread runs
    // there as soon as they return.
    virtual base::Result<base::CpuList> whole(pid_t thread) = 0;
    virtual base::Result<base::CpuList> whole(const base::ThreadId& thread) = 0;
    // ESRCH when it is gone, also when its number is another's.
    virtual base::Result<> set(const base::ThreadId& thread, const base::CpuList& cpus) = 0;
    virtual base::Result<base::CpuList> get(const base::ThreadId& thread) = 0;
    virtual base::Result<> set_thread(pid_t thread, const base::CpuList& cpus) = 0;
    virtual base::Result<base::CpuList> get(pid_t thread) = 0;
};

class RealAffinity final : public Affinity {
  public:
    explicit RealAffinity(ProcFiles& files) : files_(files) {}
    base::Result<> set_process(base::ProcessId process, const base::CpuList& cpus, Threads except) override;
    base::Result<> adapt_process(base::ProcessId process, const base::CpuList& before,
                                 const base::CpuList& cpus, Threads except) override;
    base::Result<> settle_process(base::ProcessId process, const Choose& choose, Threads except) override;
    base::Result<base::CpuList> whole(pid_t thread) override;
    base::Result<base::CpuList> whole(const base::ThreadId& thread) override;
    base::Result<> set(const base::ThreadId& thread, const base::CpuList& cpus) override;
    base::Result<base::CpuList> get(const base::ThreadId& thread) override;
    base::Result<> set_thread(pid_t thread, const base::CpuList& cpus) override;
    base::Result<base::CpuList> get(pid_t thread) override;

  private:
    enum class Single { done, has_more };
    using ForThread = std::function<base::Result<>(pid_t thread)>;
    base::Result<> for_process(base::ProcessId process, Threads except, const ForThread& change);
    [[nodiscard]] bool is_there(const base::ThreadId& thread);
    base::Result<Single> for_single(base::ProcessId process, const ForThread& change);
    base::Result<> for_threads(base::ProcessId process, const ForThread& change);
    ProcFiles& files_;
};

}  // namespace gpcsup::sys
