#pragma once
// sched_setaffinity of members, wired to the loop: which CPUs a target may use is asked of the cpuset
// controller's effective mask through a callback; everything else is launch/affinity_calls.h.

#include <map>

#include "launch/affinity_calls.h"
#include "supervisor/census.h"

namespace gpcsup::supervisor {

class AffinityService final : private launch::AffinityRules {
  public:
    using AllowedCpus = std::function<base::CpuList(const processes::Process& target, pid_t tid)>;
    AffinityService(EventLoop& loop, Census& census, launch::EnforcementClient& client,
                    std::string reader_program, AllowedCpus allowed);
    ~AffinityService() override = default;

    base::Result<> open();
    void take(const launch::ParkedCall& call);

  private:
    base::Result<base::CpuList> allowed(pid_t caller_tid, pid_t target_tid) override;
    void reapply(pid_t target_tid) override;
    void rewatch();
    [[nodiscard]] const processes::Process* process_of(pid_t tid);

    EventLoop& loop_;
    Census& census_;
    launch::ReaderPool pool_;
    launch::AffinityCalls calls_;
    AllowedCpus allowed_;
    std::map<int, Watch> watches_;
    Watch timer_;
};

}  // namespace gpcsup::supervisor
