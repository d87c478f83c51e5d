#pragma once
// One walk over gpc-init's descendants in /proc, told as events: what the process table does not know is a
// fork, what it knows and /proc does not is an exit. It is the resynchronisation of every tracker, and the
// only source of the sweep tracker. A walk can be taken in steps, with other work in between: what changes
// meanwhile is told, or left to the next walk.

#include <optional>
#include <unordered_set>
#include <vector>

#include "base/result.h"
#include "processes/process_table.h"
#include "processes/tracker.h"
#include "sys/proc_files.h"

namespace gpcsup::processes {

class Sweep {
  public:
    Sweep(ProcessTable& table, sys::ProcFiles& files) : table_(table), files_(files) {}

    // Everything below gpc-init, from the start. Parents come before their children; the ends of those who
    // were not met come last, each verified; then `swept`. ESRCH when gpc-init itself is gone (those who are
    // known are compared even so).
    base::Result<> run(TrackerSink& sink);
    // About `budget` processes of it; `empty` = the walk is complete, and the next step begins another.
    Progress step(TrackerSink& sink, std::size_t budget);
    // Only the children of one process that the table does not know yet, and theirs.
    void run_below(pid_t process, TrackerSink& sink);
    // Only this process and those above it that the table does not know yet, where they descend from one that
    // it knows or from gpc-init; some generations at most.
    void run_above(pid_t process, TrackerSink& sink);

  private:
    struct Walk {
        std::unordered_set<pid_t> seen;
        std::vector<pid_t> queue;  // whose children are still to be looked at, from `next` on
        std::size_t next = 0;
        std::optional<std::vector<base::ProcessId>>
            missing;  // known and not met: looked for one by one at the end
    };
    void visit(Walk& walk, pid_t pid, TrackerSink& sink);
    std::size_t expand(Walk& walk, TrackerSink& sink);
    void compare(const sys::ProcStat& stat, TrackerSink& sink);
    std::vector<base::ProcessId> not_met(const Walk& walk);
    void look_for(Walk& walk, base::ProcessId id, TrackerSink& sink);
    ProcessTable& table_;
    sys::ProcFiles& files_;
    std::optional<Walk> walk_;
};

}  // namespace gpcsup::processes
