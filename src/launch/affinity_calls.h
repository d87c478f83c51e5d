#pragma once
// sched_setaffinity of members, performed on their behalf: the mask is read once by a disposable reader,
// intersected with what the target's group allows, and set by us, after checking that the caller itself may
// do so. Where its memory cannot be read for a reason of ours, the call is let go on and the mask applied
// again afterwards. Knows no event loop and no controller.

#include <vector>

#include "base/cpu_list.h"
#include "launch/enforcement_table.h"
#include "launch/reader_pool.h"

namespace gpcsup::launch {

// What the integrator knows about groups.
class AffinityRules {
  public:
    virtual ~AffinityRules() = default;
    // The CPUs allowed to the target (a thread id in our pid namespace); EPERM: not for this caller to touch,
    // because it is no member or belongs to another tree.
    virtual base::Result<base::CpuList> allowed(pid_t caller_tid, pid_t target_tid) = 0;
    // The target was given `given`, which is what is allowed of what the caller asked for.
    virtual void granted(pid_t target_tid, const base::CpuList& asked, const base::CpuList& given) = 0;
    // The call was let go on and may have set anything: apply the group's mask again. Called 1 ms and 20 ms
    // afterwards.
    virtual void reapply(pid_t target_tid) = 0;
};

class AffinityCalls {
  public:
    AffinityCalls(EnforcementClient& client, ReaderPool& pool, AffinityRules& rules);

    // One of EnforcementClient::take_parked() with class affinity. Answered now or when the reader has
    // answered.
    void take(const ParkedCall& call);

    [[nodiscard]] std::optional<Moment> deadline() const;  // beside the pool's own
    void on_deadline(Moment now);

  private:
    struct Again {
        Moment due;
        pid_t target;
    };
    void decide(const ParkedCall& call, pid_t target, const base::Result<std::vector<std::uint8_t>>& bytes);
    void let_go(const ParkedCall& call, pid_t target);
    void fail(const ParkedCall& call, int error);

    EnforcementClient& client_;
    ReaderPool& pool_;
    AffinityRules& rules_;
    std::size_t mask_bytes_;  // of the running kernel: what it would itself read at most
    std::vector<Again> again_;
};

// The thread that `number` means in the pid namespace of `caller` (0 = the caller itself), as we number it.
// ESRCH.
base::Result<pid_t> translate_thread(pid_t caller, pid_t number);

// As the kernel checks it: the caller's effective user is the target's real or effective one, or it has
// CAP_SYS_NICE in the target's user namespace (or in ours, which is above all). EPERM; ESRCH.
base::Result<> may_schedule(pid_t caller, pid_t target);

}  // namespace gpcsup::launch
