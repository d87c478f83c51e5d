#pragma once
// The processes below gpc-init, kept up to date: table, ledger, lineage, tracker and exit records wired
// together. It brings news in when asked (drain) or when the loop has some, and tells the supervisor through
// CensusNews. It starts and signals nothing.

#include <memory>
#include <unordered_map>

#include "processes/connector_tracker.h"
#include "processes/exit_reader.h"
#include "processes/group_kill.h"
#include "processes/lineage.h"
#include "processes/sweep_tracker.h"
#include "processes/task_count.h"
#include "supervisor/event_loop.h"
#include "supervisor/keeper_link.h"
#include "sys/affinity.h"
#include "sys/machine.h"
#include "sys/pidfd.h"

namespace gpcsup::supervisor {

class CensusNews {
  public:
    virtual ~CensusNews() = default;
    virtual void forked(const processes::Process* parent, processes::Process& child) = 0;
    virtual void executed(processes::Process& process) = 0;
    virtual void thread_started(processes::Process& process, pid_t thread) = 0;  // 0: only that one has
    virtual void thread_ended(processes::Process& process, pid_t thread) = 0;
    virtual void swept() = 0;  // with sampled tracking: whatever was to be seen has been
    virtual void identity_changed(processes::Process& process) = 0;
    virtual void lost() = 0;  // events were lost: anything may have happened
    virtual void exited(const processes::Process& process) = 0;  // still a member
    virtual void emptied(grouping::GroupId group) = 0;
    virtual void attributed(processes::Process& orphan, processes::Attribution how) = 0;
    virtual void reaped(const wire::ExitRecord& record, const processes::Process* process) = 0;
    virtual void untracked(pid_t pid) = 0;  // the process table is full
    // Called after any of the above, when the news at hand has been taken in.
    virtual void news_taken() = 0;
    virtual std::optional<grouping::MembershipId> started_by_us(pid_t pid) = 0;
    virtual std::optional<grouping::MembershipId> unit_places(std::string_view unit) = 0;
};

class Census final : private processes::Observer, private processes::Origins {
  public:
    Census(EventLoop& loop, KeeperLink& keeper, grouping::Forest& forest, CensusNews& news);
    ~Census() override;

    // Adopts what gpc-init kept, or makes it: the exit ring, the process table (the forest must be complete),
    // the sockets.
    base::Result<> open(pid_t init_pid);
    // Why the table is a new one, if the one that was kept could not be read.
    [[nodiscard]] const std::optional<base::Error>& lost_table() const { return lost_table_; }
    base::Result<> watch();   // from here on the loop brings the news
    base::Result<> resync();  // compares everything with /proc

    void drain_tracker();  // everything the tracker has heard of until now
    void fold_exits();     // and the exit records behind it
    void take_news();      // both, and tells news_taken
    // Where tracking is sampled: looks whether a process that is not known is below gpc-init; at what is
    // below one that is known. Where it is exact both are known already.
    void look_for(pid_t process);
    void look_below(pid_t process);
    void look_for_orphans();  // looks at children of gpc-init that are not known, and what is below them

    [[nodiscard]] bool is_open() const { return table_ != nullptr && tracker_ != nullptr; }
    [[nodiscard]] processes::ProcessTable& table() { return *table_; }
    [[nodiscard]] processes::Ledger& ledger() { return *ledger_; }
    [[nodiscard]] processes::Lineage& lineage() { return *lineage_; }
    [[nodiscard]] sys::ProcFiles& files() { return *files_; }
    [[nodiscard]] sys::Clocks& clocks() { return clocks_; }
    [[nodiscard]] sys::Signals& signals() { return *signals_; }
    [[nodiscard]] processes::TrackingQuality quality() const { return tracker_->quality(); }
    [[nodiscard]] std::string tracking_reason() const { return reason_; }
    // A process that gpcsupd has just made, also when it has ended already and waits in the exit ring.
    base::Result<base::ProcessId> born(pid_t pid, grouping::MembershipId membership);
    // One that a predecessor made and did not record. ESRCH: it has gone, and its exit is known or lost.
    using Accept = std::function<bool(std::uint64_t start_time)>;
    base::Result<base::ProcessId> adopt(pid_t pid, grouping::MembershipId membership,
                                        const Accept& may_have_started);
    [[nodiscard]] processes::TaskCount count_exactly(grouping::GroupId group);
    [[nodiscard]] processes::TaskCounter::TasksByGroup count_by_group(grouping::GroupId top,
                                                                      grouping::HierarchyId hierarchy);
    // CPU time here and below, sampled now.
    [[nodiscard]] processes::CpuTime cpu_time(grouping::GroupId group);
    [[nodiscard]] processes::CpuTime own_cpu_time(grouping::GroupId group);  // here alone
    // Of all groups of a hierarchy, for a screen that shows many. In a crowd, clocks are read once a second
    // at most.
    [[nodiscard]] std::unordered_map<grouping::GroupId, processes::CpuTime> cpu_times(
        grouping::HierarchyId hierarchy);
    [[nodiscard]] processes::GroupFreeze group_freeze(grouping::GroupId group,
                                                      std::chrono::nanoseconds patience);
    [[nodiscard]] processes::GroupKill group_kill(grouping::GroupId group, std::chrono::nanoseconds patience);
    // Told of each fork with the forking thread and the kernel's time, before the tables are.
    void on_fork_event(std::function<void(pid_t parent_thread, std::uint64_t kernel_ns)> listener) {
        fork_event_ = std::move(listener);
    }

  private:
    [[nodiscard]] std::optional<base::ProcessId> find_exit(pid_t pid, const Accept& accept) const;
    class Relay;
    processes::SignalTools signal_tools() { return {*table_, *files_, *signals_, clocks_, *tracker_}; }
    base::Result<> open_table(pid_t init_pid);
    base::Result<> open_ring();
    base::Result<> open_tracker();
    void settle_when_due();
    // processes::Observer
    void on_fork(const processes::Process* parent, processes::Process& child) override {
        news_.forked(parent, child);
    }
    void on_exec(processes::Process& process) override { news_.executed(process); }
    void on_thread_start(processes::Process& process, pid_t thread) override {
        news_.thread_started(process, thread);
    }
    void on_thread_exit(processes::Process& process, pid_t thread) override {
        news_.thread_ended(process, thread);
    }
    void on_swept() override { news_.swept(); }
    void on_identity(processes::Process& process) override { news_.identity_changed(process); }
    void on_lost() override { news_.lost(); }
    void on_exit(const processes::Process& process) override { news_.exited(process); }
    void on_emptied(grouping::GroupId group) override { news_.emptied(group); }
    void on_attributed(processes::Process& orphan, processes::Attribution how) override {
        news_.attributed(orphan, how);
    }
    void on_refused(pid_t pid) override { news_.untracked(pid); }
    // processes::Origins
    std::optional<grouping::MembershipId> intent(pid_t pid) override { return news_.started_by_us(pid); }
    std::optional<grouping::MembershipId> marked(std::string_view unit) override {
        return news_.unit_places(unit);
    }

    EventLoop& loop_;
    KeeperLink& keeper_;
    grouping::Forest& forest_;
    CensusNews& news_;
    std::unique_ptr<sys::RealProcFiles> files_;
    sys::RealClocks clocks_;
    std::unique_ptr<sys::RealSignals> signals_;
    std::unique_ptr<processes::ProcessTable> table_;
    std::optional<base::Error> lost_table_;
    std::unique_ptr<processes::Ledger> ledger_;
    std::unique_ptr<processes::Lineage> lineage_;
    std::unique_ptr<Relay> relay_;
    std::unique_ptr<processes::Tracker> tracker_;
    std::unique_ptr<processes::TaskCounter> counter_;
    wire::ExitRing* ring_ = nullptr;
    base::Fd ring_memory_;
    std::unique_ptr<processes::ExitReader> exits_;
    std::function<void(pid_t, std::uint64_t)> fork_event_;
    std::string reason_;
    std::uint64_t last_round_ns_ = 0;   // of settling
    std::uint64_t last_sample_ns_ = 0;  // of everybody's clock
    Watch tracker_watch_;
};

}  // namespace gpcsup::supervisor
