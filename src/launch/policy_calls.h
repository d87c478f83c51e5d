#pragma once
// Calls of members that say where memory is to be: set_mempolicy, mbind, set_mempolicy_home_node,
// migrate_pages, move_pages. Nobody can set a policy for another process, so a call is let go on where all
// that it asks for lies within the nodes of the group, and refused (EINVAL) where it does not. The mask is
// read by a disposable reader; where it cannot be read for a reason of ours, the call is let go on. Knows no
// event loop and no controller.
//
// A mask is judged before the kernel reads it again: a member whose other threads change it in between gets
// what it wants. That is why this keeps the members' own libraries in, and nobody who is out to escape.

#include <vector>

#include "base/cpu_list.h"
#include "launch/enforcement_table.h"
#include "launch/reader_pool.h"

namespace gpcsup::launch {

class PolicyRules {
  public:
    virtual ~PolicyRules() = default;
    struct Nodes {
        base::CpuList allowed;  // to the target
        base::CpuList machine;  // what the kernel would leave of any mask
    };
    // EPERM: not for this caller to touch.
    virtual base::Result<Nodes> nodes(pid_t caller_tid, pid_t target_tid) = 0;
};

class PolicyCalls {
  public:
    PolicyCalls(EnforcementClient& client, ReaderPool& pool, PolicyRules& rules)
        : client_(client), pool_(pool), rules_(rules) {}

    // One of EnforcementClient::take_parked() with class policy. Answered now or when the reader has
    // answered.
    void take(const ParkedCall& call);

  private:
    void decide(const ParkedCall& call, const PolicyRules::Nodes& nodes, const base::CpuList& asked);
    void answer(const ParkedCall& call, int error);  // 0: go on

    EnforcementClient& client_;
    ReaderPool& pool_;
    PolicyRules& rules_;
};

}  // namespace gpcsup::launch
