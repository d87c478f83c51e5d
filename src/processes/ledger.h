#pragma once
// CPU time of processes, credited to the books of their groups. The law it keeps: whatever a process used is
// either added to its parent's children time when the parent waits for it, or arrives with its rusage at
// gpc-init; only those totals are exact. So events only *allocate* and rusage only *totals*. Per process p:
// seen (own time credited), R (the part of its children's time already credited), W (its dead, waited-for
// descendants not yet settled, by book). The five rules, and nothing else adds to a book (docs/why and
// spec/mechanisms section 1 have the measurements):
//  1. sample(p): t = clock(p); the book of p gets t − seen.
//  2. dead(p): sample if its zombie is still there, else seen = max(seen, what taskstats said of its
//  threads); settle(p).
//  3. collect(c), c dead, no zombie any more, and not reaped by gpc-init: R(parent) += seen(c) + R(c),
//  W(parent) += c and W(c).
//  4. settle(q): C = children time of q in /proc. The C read in the *previous* round is what is shared out
//  now (the exits behind
//     it have been heard of by now): d = max(0, C − R) over W, without W to q's own book; R += d; W is empty.
//  5. reaped(p) with (BOTH, T): sample to T; d = max(0, BOTH − T − R) shared out as in 4.
// Every term is ≥ 0, so nothing ever falls; the sum does not depend on events having been heard.
//
// User and system: only totals are known exactly, so each amount credited is divided by what the process and
// its children have spent in the kernel altogether, less what was already credited as such. Children of a
// parent that lets them vanish (SIGCHLD ignored) reach no total: they are credited from taskstats (none
// without it) and shown as estimated besides.

#include <functional>

#include "processes/process_table.h"
#include "processes/tracker.h"
#include "sys/clocks.h"
#include "sys/proc_files.h"
#include "wire/exit_ring.h"

namespace gpcsup::processes {

class Ledger {
  public:
    // Whether gpc-init has reaped this process and the record has not been folded yet (ExitReader answers).
    using PendingReap = std::function<bool(base::ProcessId)>;

    Ledger(ProcessTable& table, sys::ProcFiles& files, sys::Clocks& clocks)
        : table_(table), files_(files), clocks_(clocks) {}
    void set_pending_reap(PendingReap pending) { pending_reap_ = std::move(pending); }
    void set_quality(TrackingQuality quality) { quality_ = quality; }

    void sample(Process& process);
    void sample_members(grouping::GroupId group);  // here and below
    void thread_ended(Process& process, std::uint64_t run_ns, std::uint64_t tick_ns);
    // `zombie`: its stat file, read after the exit; null when it is not there any more.
    void dead(Process& process, const sys::ProcStat* zombie);
    // Whether the process has gone for good (no zombie) without gpc-init having reaped it.
    [[nodiscard]] bool vanished(const Process& process);
    void collect(Process& child);  // erases the row
    void settle(Process& process);
    void before_move(Process& process);  // sample, and settle where there may be something to
    // One settle round over every process that may need one. Also erases the dead that nobody can account for
    // any more.
    // Where tracking is sampled it does nothing: there a round belongs to each sweep, see swept().
    void settle_round();
    // A round if the last one is a second ago: called with every death, so that no timer is needed for it.
    void settle_if_due();
    // For a figure that is read now: what live parents have waited for so far is shared out as well (to a
    // tick). The tracker is drained between reading and sharing out, so that the exits behind the time have
    // been heard of.
    void bring_up_to_date(Tracker& tracker);
    // A sweep is complete. Only now have the exits behind the children times that the last round read been
    // heard of.
    void swept();
    // gpc-init's record of a process. Erases the row.
    void reaped(const wire::ExitRecord& record, Process& process);
    // The same of a process that was never heard of: its time goes to these groups.
    void reaped_unknown(const wire::ExitRecord& record, const grouping::Places& places);

  private:
    void credit_own(Transaction& transaction, Process& process, std::uint64_t amount,
                    std::uint64_t system_total);
    void share_out(Transaction& transaction, Process& process, std::uint64_t amount,
                   std::uint64_t system_total);
    void settle_with(Process& process, std::uint64_t children_ns, std::uint64_t next_children_ns,
                     std::uint64_t system_total);
    [[nodiscard]] bool owes(const Process& process);
    void collect_vanished_children(Process& process);
    void release_waited(const Waited (&waited)[waited_count]);
    void merge_waited(Transaction& transaction, Process& parent, Waited addition);
    [[nodiscard]] bool lets_children_vanish(Process& parent);
    void settle_due(base::ProcessId id);
    void run_round();
    void collect_unwaited(Process& child);
    void correct_excess(Process& process, std::uint64_t children_ns);

    ProcessTable& table_;
    sys::ProcFiles& files_;
    sys::Clocks& clocks_;
    PendingReap pending_reap_;
    TrackingQuality quality_ = TrackingQuality::exact;
    std::chrono::nanoseconds last_round_{};
};

}  // namespace gpcsup::processes
