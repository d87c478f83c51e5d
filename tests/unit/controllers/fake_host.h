#pragma once
// A machine for controllers under test: the forest and the process table are the real ones, CPUs, affinities,
// clocks and budgets are plain data that a test writes and reads.

#include <algorithm>
#include <cerrno>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "controllers/dispatcher.h"

namespace gpcsup::test {

class FakeHost final : public controllers::Host {
  public:
    explicit FakeHost(unsigned cpus = 4)
        : table_(std::move(processes::ProcessTable::create(forest_).value())),
          online_(base::CpuList::up_to(cpus)) {
        forest_.set_member_lister([this](grouping::GroupId group, std::size_t most) {
            std::vector<int> pids;
            table_->for_each_member_below(group, [&](processes::Process& each) {
                if (pids.size() < most) {
                    pids.push_back(each.pid);
                }
            });
            return pids;
        });
    }

    const grouping::Forest& forest() override { return forest_; }
    void hold(grouping::GroupId group, std::string_view controller, std::string_view why) override {
        forest_.hold(group, controller, why);
    }
    void drop_hold(grouping::GroupId group, std::string_view controller) override {
        forest_.drop_hold(group, controller);
    }
    processes::ProcessTable& processes() override { return *table_; }
    std::chrono::nanoseconds now() override { return now_; }
    void call_at(std::string_view controller, std::chrono::nanoseconds when,
                 std::function<void()> call) override {
        calls_[std::string(controller)] = {when, std::move(call)};
    }
    [[nodiscard]] std::map<std::string, std::pair<std::chrono::nanoseconds, std::function<void()>>>::iterator
    next_call(std::chrono::nanoseconds until) {
        const auto first =
            std::ranges::min_element(calls_, {}, [](const auto& call) { return call.second.first; });
        return first != calls_.end() && first->second.first <= until ? first : calls_.end();
    }
    // Time passes; what was to be called is called on the way.
    void advance_to(std::chrono::nanoseconds until) {
        for (auto due = next_call(until); due != calls_.end(); due = next_call(until)) {
            now_ = std::max(now_, due->second.first);
            const auto call = std::move(due->second.second);
            calls_.erase(due);
            call();
        }
        now_ = until;
    }
    base::CpuList online_cpus() override { return online_; }
    base::CpuList online_nodes() override { return nodes_; }
    const processes::ThreadsApart& threads_apart() override { return threads_; }
    base::Result<> set_affinity(base::ProcessId process, const base::CpuList& cpus, Threads except) override {
        if (forbidden_.contains(process.pid)) {
            return base::fail(EPERM, "set the CPUs of", "process " + std::to_string(process.pid));
        }
        if (table_->find(process) == nullptr) {
            return base::fail(ESRCH, "set the CPUs of", "process " + std::to_string(process.pid));
        }
        masks_[process] = cpus;
        for (auto& [thread, mask] : thread_masks_) {
            if (thread.process == process && std::ranges::find(except, thread) == except.end()) {
                mask = cpus;
            }
        }
        ++affinity_calls_;
        return {};
    }
    base::Result<> set_affinity(const base::ThreadId& thread, const base::CpuList& cpus) override {
        if (forbidden_.contains(thread.tid)) {
            return base::fail(EPERM, "set the CPUs of", "thread " + std::to_string(thread.tid));
        }
        const auto known = thread_masks_.find(thread);
        if (known == thread_masks_.end()) {
            return base::fail(ESRCH, "set the CPUs of", "thread " + std::to_string(thread.tid));
        }
        known->second = cpus;
        ++affinity_calls_;
        return {};
    }
    base::Result<base::CpuList> affinity(const base::ThreadId& thread) override {
        const auto known = thread_masks_.find(thread);
        return known != thread_masks_.end() ? base::Result<base::CpuList>(known->second)
                                            : base::fail(ESRCH, "read the CPUs of", "a thread");
    }
    base::Result<> adapt_affinity(base::ProcessId process, const base::CpuList& before,
                                  const base::CpuList& cpus, Threads except) override {
        const auto right = [&](const base::CpuList& has) { return has.is_subset_of(cpus) && has != before; };
        for (auto& [thread, mask] : thread_masks_) {
            if (thread.process == process && std::ranges::find(except, thread) == except.end() &&
                !right(mask)) {
                mask = cpus;
            }
        }
        const auto known = masks_.find(process);
        if (known != masks_.end() && right(known->second)) {
            return {};
        }
        if (forbidden_.contains(process.pid) || table_->find(process) == nullptr) {
            return base::fail(EPERM, "set the CPUs of", "process " + std::to_string(process.pid));
        }
        masks_[process] = cpus;
        ++affinity_calls_;
        return {};
    }
    base::Result<> settle_affinity(base::ProcessId process, const ChooseMask& choose,
                                   Threads except) override {
        if (table_->find(process) == nullptr) {
            return base::fail(ESRCH, "set the CPUs of", "process " + std::to_string(process.pid));
        }
        const auto settle = [&](const base::ThreadId& thread, base::CpuList& mask) {
            auto chosen = choose(thread, mask);
            if (chosen && forbidden_.contains(process.pid)) {
                return false;
            }
            affinity_calls_ += chosen ? 1 : 0;
            mask = chosen ? std::move(*chosen) : mask;
            return true;
        };
        for (auto& [thread, mask] : thread_masks_) {
            if (thread.process == process && std::ranges::find(except, thread) == except.end()) {
                settle(thread, mask);
            }
        }
        const base::ThreadId main{process, process.pid, process.start_time};
        return settle(main, masks_[process])
                   ? base::Result<>()
                   : base::fail(EPERM, "set the CPUs of", "process " + std::to_string(process.pid));
    }
    base::Result<base::CpuList> whole_affinity(const base::ThreadId& thread) override {
        return affinity(thread);
    }
    base::Result<base::CpuList> affinity(base::ProcessId process) override {
        const auto known = masks_.find(process);
        return known != masks_.end() ? known->second : online_;
    }
    CpuTime cpu_time(grouping::GroupId group) override { return times_[group]; }
    CpuTime own_cpu_time(grouping::GroupId group) override { return own_times_[group]; }
    void remember(grouping::GroupId group, std::string_view controller, std::string_view text) override {
        notes_[{group, std::string(controller)}] = text;
    }
    void forget(grouping::GroupId group, std::string_view controller) override {
        notes_.erase({group, std::string(controller)});
    }
    std::optional<std::string> remembered(grouping::GroupId group, std::string_view controller) override {
        const auto known = notes_.find({group, std::string(controller)});
        return known != notes_.end() ? std::optional(known->second) : std::nullopt;
    }
    TaskCount task_count(grouping::GroupId group) override {
        TaskCount count;
        table_->for_each_counted(group, [&](processes::Process& each) {
            ++count.processes;
            count.tasks += each.threads;
        });
        return count;
    }
    base::Result<> publish_budget(grouping::GroupId group, wire::BudgetKind kind, std::uint64_t limit,
                                  int refuse_errno) override {
        if (table_full_) {
            return base::fail(ENOSPC, "publish the limit of", forest_.full_path(group));
        }
        budgets_[{group, kind}].limit = limit;
        published_.insert({group, kind});
        budgets_[{group, kind}].refuse_errno = refuse_errno;
        return {};
    }
    void set_fork_rate(grouping::GroupId group, std::uint64_t count, std::uint64_t window_ns,
                       wire::RateSpends spends) override {
        budgets_.at({group, wire::BudgetKind::tasks}).rate = {count, window_ns};
        budgets_.at({group, wire::BudgetKind::tasks}).rate_spends = spends;
    }
    void set_guarantee(grouping::GroupId group, std::uint64_t count) override {
        budgets_.at({group, wire::BudgetKind::tasks}).guarantee = count;
    }
    std::uint64_t fork_rate_failcnt(grouping::GroupId group) override {
        const auto known = budgets_.find({group, wire::BudgetKind::tasks});
        return known != budgets_.end() ? known->second.rate_failcnt : 0;
    }
    void retire_budget(grouping::GroupId group, wire::BudgetKind kind) override {
        budgets_.erase({group, kind});
        retired_.insert(group);
    }
    std::uint64_t budget_failcnt(grouping::GroupId group, wire::BudgetKind kind) override {
        const auto known = budgets_.find({group, kind});
        return known != budgets_.end() ? known->second.failcnt : 0;
    }
    bool has_budget(grouping::GroupId group, wire::BudgetKind kind) override {
        return budgets_.contains({group, kind});
    }
    std::uint64_t file_count(grouping::GroupId group) override { return files_[group]; }
    base::Result<> publish_files(grouping::GroupId group, std::uint64_t barrier, std::uint64_t limit,
                                 int refuse_errno) override {
        auto published = publish_budget(group, wire::BudgetKind::files, limit, refuse_errno);
        if (!published) {
            return published;
        }
        budgets_[{group, wire::BudgetKind::files}].barrier = barrier;
        return published;
    }
    Waters file_waters(grouping::GroupId group) override { return waters_[group]; }
    void keep_file_waters(grouping::GroupId group, const Waters& waters) override {
        if (has_budget(group, wire::BudgetKind::files)) {
            waters_[group] = waters;
        }
    }
    void files_leave(const processes::Process& process, grouping::GroupId from) override {
        if (const std::uint64_t open = open_files_[process.pid]; open > 0) {
            kept_open_[from] += open;
        }
    }
    void files_forked(const processes::Process&, const processes::Process&) override {}
    void files_ended(const processes::Process& process) override { open_files_.erase(process.pid); }
    std::map<grouping::GroupId, std::uint64_t> files_open_elsewhere() override { return kept_open_; }
    void on_files_look_due(std::function<void()> call) override { files_look_due_ = std::move(call); }
    MemoryUse memory_use(grouping::GroupId group, std::chrono::nanoseconds budget) override {
        budgets_of_time_.push_back(budget);
        return memory_[group];
    }
    void move_pages(processes::Process& process, grouping::GroupId group, const base::CpuList& from,
                    const base::CpuList& to) override {
        process.flags |= processes::process_moves_pages;
        page_moves_[process.pid] = {group, from.format() + " to " + to.format()};
    }
    void leave_pages(const processes::Process& process) override {
        if (processes::Process* row = table_->find(process.id())) {
            row->flags &= ~processes::process_moves_pages;
        }
        page_moves_.erase(process.pid);
    }
    std::uint64_t pages_waiting(grouping::GroupId group) override {
        return static_cast<std::uint64_t>(
            std::count_if(page_moves_.begin(), page_moves_.end(),
                          [&](const auto& move) { return move.second.group == group; }));
    }
    base::Result<Limit> limit(base::ProcessId process, int resource) override {
        return limits_of(process)[static_cast<std::size_t>(resource)];
    }
    base::Result<> set_limit(base::ProcessId process, int resource, const Limit& limit) override {
        Limit& has = limits_of(process)[static_cast<std::size_t>(resource)];
        if (forbidden_.contains(process.pid) || (!may_raise_ && limit.hard > has.hard)) {
            return base::fail(EPERM, "set the limits of", "process " + std::to_string(process.pid));
        }
        ++limit_calls_;
        has = limit;
        return {};
    }
    LimitSet start_limits() override { return start_limits_; }
    void remember_limits(processes::Process& process, const LimitSet& limits) override {
        past_limits_.push_back(limits);
        process.past_limits = static_cast<std::uint16_t>(past_limits_.size());
    }
    std::optional<LimitSet> remembered_limits(const processes::Process& process) override {
        return process.past_limits == 0 ? std::nullopt
                                        : std::optional(past_limits_[process.past_limits - 1u]);
    }
    LimitSet& limits_of(base::ProcessId process) {
        return limits_.try_emplace(process, start_limits_).first->second;
    }
    void freeze(grouping::GroupId group) override { forest_.set_frozen(group, grouping::Freezing::frozen); }
    void thaw(grouping::GroupId group) override { forest_.set_frozen(group, grouping::Freezing::thawed); }
    bool stands_still(grouping::GroupId group) override { return !moving_.contains(group); }
    void raise_peak(grouping::GroupId group, std::uint64_t tasks) override {
        for (auto& [name, budget] : budgets_) {
            budget.peak = name.first == group ? std::max(budget.peak, tasks) : budget.peak;
        }
    }
    std::uint64_t kept_peak(grouping::GroupId group) override {
        std::uint64_t highest = 0;
        for (const auto& [name, budget] : budgets_) {
            highest = name.first == group ? std::max(highest, budget.peak) : highest;
        }
        return highest;
    }

    // What happens on the machine.
    grouping::Forest& trees() { return forest_; }
    processes::Process& start(pid_t pid, grouping::MembershipId membership = {}, pid_t parent = 1) {
        processes::Process& process =
            *table_->insert({pid, 100u + static_cast<unsigned>(pid)}, parent, membership).value();
        masks_[process.id()] = online_;
        return process;
    }
    // A further thread of a process that is there, with its mask.
    base::ThreadId start_thread(pid_t pid, pid_t tid) {
        const base::ProcessId process = table_->find(pid)->id();
        const base::ThreadId thread{process, tid, 100u + static_cast<unsigned>(tid)};
        thread_masks_[thread] = masks_[process];
        return thread;
    }
    std::string mask(const base::ThreadId& thread) { return thread_masks_.at(thread).format(); }
    std::string mask(pid_t pid) { return masks_[table_->find(pid)->id()].format(); }

    std::map<std::string, std::pair<std::chrono::nanoseconds, std::function<void()>>> calls_;
    struct Budget {
        std::uint64_t limit = 0;
        int refuse_errno = 0;
        std::uint64_t failcnt = 0;
        std::uint64_t peak = 0;
        std::uint64_t barrier = wire::unlimited;
        controllers::Rate rate{wire::unlimited, 0};
        wire::RateSpends rate_spends = wire::RateSpends::admitted;
        std::uint64_t rate_failcnt = 0;
        std::uint64_t guarantee = 0;
    };
    struct PageMove {
        grouping::GroupId group;
        std::string what;  // "0-1 to 2-3"
    };
    std::map<pid_t, PageMove> page_moves_;
    std::map<grouping::GroupId, std::uint64_t> files_;  // charged
    std::map<pid_t, std::uint64_t> open_files_;         // of a process
    std::map<grouping::GroupId, std::uint64_t> kept_open_;
    std::map<grouping::GroupId, Waters> waters_;
    std::function<void()> files_look_due_;
    grouping::Forest forest_;
    processes::ThreadsApart threads_{forest_};
    std::unique_ptr<processes::ProcessTable> table_;
    base::CpuList online_;
    base::CpuList nodes_ = base::CpuList::up_to(1);
    std::chrono::nanoseconds now_{1'000'000'000};
    std::map<base::ProcessId, base::CpuList> masks_;
    std::map<base::ThreadId, base::CpuList> thread_masks_;
    std::set<pid_t> forbidden_;  // set_affinity: EPERM
    std::map<grouping::GroupId, CpuTime> times_;
    std::map<grouping::GroupId, CpuTime> own_times_;
    std::map<std::pair<grouping::GroupId, std::string>, std::string> notes_;
    std::map<std::pair<grouping::GroupId, wire::BudgetKind>, Budget> budgets_;
    std::set<std::pair<grouping::GroupId, wire::BudgetKind>> published_;
    std::set<grouping::GroupId> retired_;
    std::set<grouping::GroupId> moving_;  // frozen, but somebody in it has not come to a stop
    std::map<grouping::GroupId, MemoryUse> memory_;
    std::vector<std::chrono::nanoseconds> budgets_of_time_;
    LimitSet start_limits_{};
    std::map<base::ProcessId, LimitSet> limits_;
    std::vector<LimitSet> past_limits_;
    bool may_raise_ = true;
    unsigned limit_calls_ = 0;
    bool table_full_ = false;
    unsigned affinity_calls_ = 0;
};

// A placement log that can fail, and remembers what it was told.
class FakeLog final : public grouping::PlacementLog {
  public:
    base::Result<std::uint64_t> intend(std::span<const grouping::Relocation> relocations) override {
        if (fail_intend_) {
            return base::fail(ENOSPC, "append to", "the journal");
        }
        intent_.assign(relocations.begin(), relocations.end());
        trail_ += "intend ";
        return std::uint64_t{7};
    }
    base::Result<> commit(std::uint64_t intent) override {
        if (fail_commit_) {
            return base::fail(ENOSPC, "append to", "the journal");
        }
        trail_ += "commit" + std::to_string(intent) + " ";
        return {};
    }
    void abandon(std::uint64_t intent) override { trail_ += "abandon" + std::to_string(intent) + " "; }

    std::vector<grouping::Relocation> intent_;
    std::string trail_;
    bool fail_intend_ = false;
    bool fail_commit_ = false;
};

}  // namespace gpcsup::test
