#pragma once
// Who may move a process, or a thread of it, to another group, as the original had it and cgroup v2 completed
// it: root and the supervisor's own user; everybody else must own the process (be its user or its saved user)
// and manage both the target group and the nearest group above target and source. It changes nothing.

#include <functional>

#include "control/handler.h"
#include "grouping/forest.h"
#include "processes/process_table.h"
#include "sys/proc_files.h"

namespace gpcsup::supervisor {

class MoveRights {
  public:
    // Whether the caller may move processes into and out of a group: its delegated owner may.
    using MayManage = std::function<base::Result<>(const control::Caller& caller, grouping::GroupId group)>;
    MoveRights(const grouping::Forest& forest, sys::ProcFiles& files, MayManage may_manage)
        : forest_(forest), files_(files), may_manage_(std::move(may_manage)) {}

    struct Way {  // within one hierarchy
        grouping::GroupId target;
        grouping::GroupId source;
    };
    // EACCES with the rule that is broken; ESRCH when the process has gone meanwhile.
    base::Result<> check(const control::Caller& caller, const processes::Process& process,
                         const Way& way) const;

  private:
    base::Result<> check_user(const control::Caller& caller, const processes::Process& process) const;

    const grouping::Forest& forest_;
    sys::ProcFiles& files_;
    MayManage may_manage_;
};

// The nearest group that both are in or are; none when they are of different hierarchies.
[[nodiscard]] grouping::GroupId common_ancestor(const grouping::Forest& forest, grouping::GroupId one,
                                                grouping::GroupId other);

}  // namespace gpcsup::supervisor
