#pragma once
// One walk over gpc-init's descendants in /proc, told as events: what the process table does not know is a
// fork, what it knows and /proc does not is an exit. It is the resynchronisation of every tracker, and the
// only source of the sweep tracker.

#include "base/result.h"
#include "processes/process_table.h"
#include "processes/tracker.h"
#include "sys/proc_files.h"

namespace gpcsup::processes {

class Sweep {
  public:
    Sweep(ProcessTable& table, sys::ProcFiles& files) : table_(table), files_(files) {}

    // Everything below gpc-init. Parents come before their children, exits of whom was not met come last,
    // each verified. ESRCH when gpc-init itself is gone.
    base::Result<> run(TrackerSink& sink);
    // Only the children of one process that the table does not know yet, and theirs.
    void run_below(pid_t process, TrackerSink& sink);

  private:
    struct Walk;
    void visit(Walk& walk, pid_t pid);
    void walk_from(Walk& walk, pid_t top);
    void compare(Walk& walk, const sys::ProcStat& stat);
    void check_missing(Walk& walk);
    ProcessTable& table_;
    sys::ProcFiles& files_;
};

}  // namespace gpcsup::processes
