#pragma once
// The machine and the tables as the controllers see them (controllers/controller.h, Host): nothing but
// forwarding.

#include <functional>

#include "controllers/controller.h"
#include "supervisor/census.h"
#include "supervisor/event_loop.h"
#include "supervisor/group_notes.h"
#include "supervisor/memory_sampler.h"
#include "supervisor/past_limits.h"

namespace gpcsup::supervisor {

class Enforcer;
class FileService;
class Freezing;
class PageMoves;

class MachineHost final : public controllers::Host {
  public:
    MachineHost(EventLoop& loop, grouping::Forest& forest, Census& census,
                const processes::ThreadsApart& threads, PastLimits& past_limits, GroupNotes& notes,
                std::string reader_program);
    void set_enforcer(Enforcer& enforcer) { enforcer_ = &enforcer; }
    void set_files(FileService& files) { files_ = &files; }
    void set_page_moves(PageMoves& moves) { page_moves_ = &moves; }
    void set_freezing(Freezing& freezing) { freezing_ = &freezing; }

    void call_at(std::string_view controller, std::chrono::nanoseconds when,
                 std::function<void()> call) override;
    const grouping::Forest& forest() override { return forest_; }
    void hold(grouping::GroupId group, std::string_view controller, std::string_view why) override {
        forest_.hold(group, controller, why);
    }
    void drop_hold(grouping::GroupId group, std::string_view controller) override {
        forest_.drop_hold(group, controller);
        if (hold_dropped_) {
            hold_dropped_();
        }
    }
    void on_hold_dropped(std::function<void()> call) { hold_dropped_ = std::move(call); }
    processes::ProcessTable& processes() override { return census_.table(); }
    std::chrono::nanoseconds now() override { return census_.clocks().monotonic(); }
    base::CpuList online_cpus() override;
    base::CpuList online_nodes() override;
    const processes::ThreadsApart& threads_apart() override { return threads_; }
    base::Result<> set_affinity(base::ProcessId process, const base::CpuList& cpus, Threads except) override;
    base::Result<> adapt_affinity(base::ProcessId process, const base::CpuList& before,
                                  const base::CpuList& cpus, Threads except) override;
    base::Result<> settle_affinity(base::ProcessId process, const ChooseMask& choose,
                                   Threads except) override;
    base::Result<base::CpuList> whole_affinity(const base::ThreadId& thread) override;
    base::Result<base::CpuList> affinity(base::ProcessId process) override;
    base::Result<> set_affinity(const base::ThreadId& thread, const base::CpuList& cpus) override;
    base::Result<base::CpuList> affinity(const base::ThreadId& thread) override;
    CpuTime cpu_time(grouping::GroupId group) override;
    CpuTime own_cpu_time(grouping::GroupId group) override;
    void remember(grouping::GroupId group, std::string_view controller, std::string_view text) override {
        notes_.set(group, controller, text);
    }
    void forget(grouping::GroupId group, std::string_view controller) override {
        notes_.erase(group, controller);
    }
    std::optional<std::string> remembered(grouping::GroupId group, std::string_view controller) override {
        return notes_.find(group, controller);
    }
    TaskCount task_count(grouping::GroupId group) override;
    base::Result<> publish_budget(grouping::GroupId group, wire::BudgetKind kind, std::uint64_t limit,
                                  int refuse_errno) override;
    void set_fork_rate(grouping::GroupId group, std::uint64_t count, std::uint64_t window_ns,
                       wire::RateSpends spends) override;
    void set_guarantee(grouping::GroupId group, std::uint64_t count) override;
    std::uint64_t fork_rate_failcnt(grouping::GroupId group) override;
    void retire_budget(grouping::GroupId group, wire::BudgetKind kind) override;
    std::uint64_t budget_failcnt(grouping::GroupId group, wire::BudgetKind kind) override;
    bool has_budget(grouping::GroupId group, wire::BudgetKind kind) override;
    MemoryUse memory_use(grouping::GroupId group, std::chrono::nanoseconds budget) override;
    void move_pages(processes::Process& process, grouping::GroupId group, const base::CpuList& from,
                    const base::CpuList& to) override;
    void leave_pages(const processes::Process& process) override;
    std::uint64_t pages_waiting(grouping::GroupId group) override;
    base::Result<Limit> limit(base::ProcessId process, int resource) override;
    base::Result<> set_limit(base::ProcessId process, int resource, const Limit& limit) override;
    LimitSet start_limits() override { return start_limits_; }
    void remember_limits(processes::Process& process, const LimitSet& limits) override;
    std::optional<LimitSet> remembered_limits(const processes::Process& process) override;
    void freeze(grouping::GroupId group) override;
    void thaw(grouping::GroupId group) override;
    bool stands_still(grouping::GroupId group) override;
    std::uint64_t file_count(grouping::GroupId group) override;
    base::Result<> publish_files(grouping::GroupId group, std::uint64_t barrier, std::uint64_t limit,
                                 int refuse_errno) override;
    Waters file_waters(grouping::GroupId group) override;
    void keep_file_waters(grouping::GroupId group, const Waters& waters) override;
    void files_leave(const processes::Process& process, grouping::GroupId from) override;
    void files_forked(const processes::Process& parent, const processes::Process& child) override;
    void files_ended(const processes::Process& process) override;
    std::map<grouping::GroupId, std::uint64_t> files_open_elsewhere() override;
    void on_files_look_due(std::function<void()> call) override { files_look_due_ = std::move(call); }
    void look_at_files() {  // now and then, while groups have files open elsewhere
        if (files_look_due_) {
            files_look_due_();
        }
    }
    void raise_peak(grouping::GroupId group, std::uint64_t tasks) override;
    std::uint64_t kept_peak(grouping::GroupId group) override;

  private:
    EventLoop& loop_;
    struct Timer {
        std::function<void()> call;
        Watch watch;
    };
    std::map<std::string, Timer> timers_;  // by controller
    grouping::Forest& forest_;
    Census& census_;
    const processes::ThreadsApart& threads_;
    PastLimits& past_limits_;
    GroupNotes& notes_;
    LimitSet start_limits_;
    MemorySampler memory_;
    Enforcer* enforcer_ = nullptr;
    FileService* files_ = nullptr;
    Freezing* freezing_ = nullptr;
    PageMoves* page_moves_ = nullptr;
    std::function<void()> files_look_due_;
    sys::RealMachine machine_;
    std::function<void()> hold_dropped_;
};

}  // namespace gpcsup::supervisor
