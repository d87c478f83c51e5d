#pragma once
// How many tasks a group has: threads of its members, and zombies until they are reaped, as the kernel counts
// them. Two answers: what the table says, for free, and what /proc says, for a decision. The second costs a
// stat file for each member that may have changed without an event, and the children lists as well where
// tracking is sampled.

#include <functional>
#include <map>

#include "processes/process_table.h"
#include "processes/sweep.h"

namespace gpcsup::processes {

struct TaskCount {
    std::uint64_t tasks = 0;
    std::uint64_t processes = 0;  // live ones and zombies
    bool operator==(const TaskCount&) const = default;
};

class TaskCounter {
  public:
    // `sink`: the lineage, told of what the look finds.
    TaskCounter(ProcessTable& table, sys::ProcFiles& files, TrackerSink& sink)
        : table_(table), files_(files), sweep_(table, files), sink_(sink) {}

    // Of those who count in the group: here and below, or here alone where books are not hierarchical.
    [[nodiscard]] TaskCount known(grouping::GroupId group);  // as last heard
    // Drain the tracker first if it is an exact one; then this is exact for the moment at which it was
    // called.
    [[nodiscard]] TaskCount exact(grouping::GroupId group, TrackingQuality quality);
    // The same, told apart: the tasks of each group itself, in the hierarchy of `top`. One look at each
    // process, so that a group and those below it fit together.
    using TasksByGroup = std::map<grouping::GroupId, std::uint64_t>;
    [[nodiscard]] TasksByGroup by_group(grouping::GroupId top, grouping::HierarchyId hierarchy,
                                        TrackingQuality quality);

  private:
    using Counted = std::function<void(const Process& process, std::uint64_t tasks)>;
    void look(grouping::GroupId group, TrackingQuality quality, const Counted& counted);
    ProcessTable& table_;
    sys::ProcFiles& files_;
    Sweep sweep_;
    TrackerSink& sink_;
};

}  // namespace gpcsup::processes
