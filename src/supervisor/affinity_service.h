#pragma once
// sched_setaffinity and the memory policy calls of members, wired to the loop: which CPUs and nodes a target
// may use is asked of the controllers' effective lists through callbacks; everything else is
// launch/affinity_calls.h and launch/policy_calls.h.

#include <map>

#include "launch/affinity_calls.h"
#include "launch/policy_calls.h"
#include "supervisor/census.h"

namespace gpcsup::supervisor {

class AffinityService final : private launch::AffinityRules, private launch::PolicyRules {
  public:
    using AllowedCpus = std::function<base::CpuList(const processes::Process& target, pid_t tid)>;
    using Granted = std::function<void(const base::ThreadId& target, const base::CpuList& asked,
                                       const base::CpuList& given)>;
    using AllowedNodes = std::function<Nodes(const processes::Process& target, pid_t tid)>;
    AffinityService(EventLoop& loop, Census& census, launch::EnforcementClient& client,
                    std::string reader_program, AllowedCpus allowed, Granted granted, AllowedNodes nodes);
    ~AffinityService() override = default;

    base::Result<> open();
    void take(const launch::ParkedCall& call);

  private:
    base::Result<base::CpuList> allowed(pid_t caller_tid, pid_t target_tid) override;
    base::Result<Nodes> nodes(pid_t caller_tid, pid_t target_tid) override;
    void granted(pid_t target_tid, const base::CpuList& asked, const base::CpuList& given) override;
    void reapply(pid_t target_tid) override;
    void rewatch();
    [[nodiscard]] const processes::Process* process_of(pid_t tid);

    EventLoop& loop_;
    Census& census_;
    launch::ReaderPool pool_;
    launch::AffinityCalls calls_;
    launch::PolicyCalls policies_;
    AllowedCpus allowed_;
    Granted granted_;
    AllowedNodes nodes_;
    std::map<int, Watch> watches_;
    Watch timer_;
};

}  // namespace gpcsup::supervisor
