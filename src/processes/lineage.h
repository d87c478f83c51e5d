#pragma once
// Who descends from whom: applies what a tracker tells to the process table and the ledger, and tells
// observers. It decides nothing about groups except where a new process belongs:
//  - a child is in its parent's groups;
//  - an orphan that is known stays where it is;
//  - a new child of gpc-init that nobody meant to start is a member's orphan or its clone(CLONE_PARENT), for
//  which the kernel
//    names gpc-init as the parent: see attribution.h.
// A process is dead when its last thread is: fork of a thread +1, exit −1, exec sets 1. A leader may end
// before its process does, and events may have been lost, so the last exit is believed only when /proc
// agrees.

#include <vector>

#include "processes/attribution.h"
#include "processes/ledger.h"
#include "processes/process_table.h"
#include "processes/sweep.h"
#include "processes/tracker.h"

namespace gpcsup::processes {

// Who wants to know. Called in order of arrival, after the table has been changed (on_exit: before). An
// observer may read the table and move processes; it must not erase rows or drain a tracker.
class Observer {
  public:
    virtual ~Observer() = default;
    virtual void on_fork(const Process* parent, Process& child) { (void)parent, (void)child; }
    virtual void on_exec(Process& process) { (void)process; }
    // One more thread of it, 0 where only their number was told; one less.
    virtual void on_thread_start(Process& process, pid_t thread) { (void)process, (void)thread; }
    virtual void on_thread_exit(Process& process, pid_t thread) { (void)process, (void)thread; }
    virtual void on_swept() {}  // whatever had ended before the sweep began has been told
    virtual void on_identity(Process& process) { (void)process; }
    virtual void on_exit(const Process& process) { (void)process; }  // still a member
    virtual void on_emptied(grouping::GroupId group) { (void)group; }
    virtual void on_attributed(Process& orphan, Attribution how) { (void)orphan, (void)how; }
    virtual void on_lost() {}  // events were lost; the table has been compared with /proc since
    virtual void on_refused(pid_t pid) { (void)pid; }  // the table is full: this process is not tracked
};

class Lineage final : public TrackerSink {
  public:
    Lineage(grouping::Forest& forest, ProcessTable& table, Ledger& ledger, sys::ProcFiles& files,
            Origins& origins, Observer& observer);

    void handle(const Event& event) override;

    // A process that gpcsupd has just started: recorded at once, without waiting for the tracker to tell.
    base::Result<Process*> born(pid_t pid, grouping::MembershipId membership);
    // Compares everything with /proc: at start, after adoption, after a loss.
    base::Result<> resync();
    // The process is dead whatever was heard of it (gpc-init has its record).
    void certainly_dead(Process& process);
    // Where the time of a process goes that was never heard of: as well as can be told from its record.
    [[nodiscard]] grouping::Places places_of_unknown(const wire::ExitRecord& record);
    // Tells of groups that became empty by anything but an exit (a move). Exits do so by themselves.
    void flush_emptied();

  private:
    void forked(const Event& event);
    void child_of_root(const Event& event);
    Process* insert(const Event& event, grouping::MembershipId membership);
    void retire(Process& process);
    void thread_exited(Process& process, const Event& event);
    void died(Process& process, const sys::ProcStat* zombie);
    void bury(Process& process, const sys::ProcStat* zombie);
    [[nodiscard]] std::vector<base::ProcessId> vanished_below(const Process& process);
    void reparent_children(pid_t parent);
    void session_started(Process& process);
    void executed(Process& process);
    // What /proc shows of the process the event tells of; nothing when it has gone, also when its number is
    // another's.
    [[nodiscard]] std::optional<sys::ProcStat> look_at(const Event& event);
    [[nodiscard]] bool is_same(const Process& process, const Event& event);

    grouping::Forest& forest_;
    ProcessTable& table_;
    Ledger& ledger_;
    sys::ProcFiles& files_;
    Attributor attributor_;
    Origins& origins_;
    Observer& observer_;
};

}  // namespace gpcsup::processes
