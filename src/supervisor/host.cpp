#include "supervisor/host.h"

#include <fmt/format.h>

#include <sys/resource.h>

#include <cerrno>

#include "supervisor/enforcer.h"
#include "supervisor/file_service.h"
#include "supervisor/freezing.h"
#include "supervisor/page_moves.h"
#include "sys/limits.h"

namespace gpcsup::supervisor {

using grouping::GroupId;

namespace {

controllers::Host::CpuTime time_of(const processes::CpuTime& time) {
    return {time.usage_ns, time.user_ns, time.system_ns, time.estimated_ns};
}

}  // namespace

// The limits are taken before gpcsupd raises any of its own: what it starts has them.
MachineHost::MachineHost(EventLoop& loop, grouping::Forest& forest, Census& census,
                         const processes::ThreadsApart& threads, PastLimits& past_limits, GroupNotes& notes,
                         std::string reader_program)
    : loop_(loop),
      forest_(forest),
      census_(census),
      threads_(threads),
      past_limits_(past_limits),
      notes_(notes),
      memory_(std::move(reader_program)) {
    for (std::size_t resource = 0; resource < start_limits_.size(); ++resource) {
        const auto limit = sys::own_limit(static_cast<int>(resource));
        start_limits_[resource] = {limit.soft, limit.hard};
    }
    start_limits_[RLIMIT_RTTIME].soft = start_limits_[RLIMIT_RTTIME].hard;  // gpc-exec gives it back
}

void MachineHost::call_at(std::string_view controller, std::chrono::nanoseconds when,
                          std::function<void()> call) {
    Timer& timer = timers_[std::string(controller)];
    timer.call = std::move(call);
    if (!timer.watch) {
        auto watch = loop_.on_time(EventLoop::Priority::processes, [&timer] {
            const auto due = std::move(timer.call);  // which may set it anew
            due();
        });
        if (!watch) {
            fmt::print(stderr, "gpcsupd: {}: {}\n", controller, watch.error().message());
            return;
        }
        timer.watch = std::move(*watch);
    }
    loop_.arm(timer.watch, static_cast<std::uint64_t>(when.count()));
}

base::CpuList MachineHost::online_cpus() {
    return machine_.online_cpus().value_or(base::CpuList::up_to(1));
}

base::CpuList MachineHost::online_nodes() {
    return machine_.online_nodes().value_or(base::CpuList::up_to(1));
}

base::Result<> MachineHost::set_affinity(base::ProcessId process, const base::CpuList& cpus, Threads except) {
    sys::RealAffinity affinity(census_.files());
    return affinity.set_process(process, cpus, except);
}

base::Result<> MachineHost::set_affinity(const base::ThreadId& thread, const base::CpuList& cpus) {
    sys::RealAffinity affinity(census_.files());
    return affinity.set(thread, cpus);
}

base::Result<base::CpuList> MachineHost::affinity(const base::ThreadId& thread) {
    sys::RealAffinity affinity(census_.files());
    return affinity.get(thread);
}

base::Result<> MachineHost::adapt_affinity(base::ProcessId process, const base::CpuList& before,
                                           const base::CpuList& cpus, Threads except) {
    sys::RealAffinity affinity(census_.files());
    return affinity.adapt_process(process, before, cpus, except);
}

base::Result<> MachineHost::settle_affinity(base::ProcessId process, const ChooseMask& choose,
                                            Threads except) {
    sys::RealAffinity affinity(census_.files());
    return affinity.settle_process(process, choose, except);
}

base::Result<base::CpuList> MachineHost::whole_affinity(const base::ThreadId& thread) {
    sys::RealAffinity affinity(census_.files());
    return affinity.whole(thread);
}

base::Result<base::CpuList> MachineHost::affinity(base::ProcessId process) {
    sys::RealAffinity affinity(census_.files());
    return affinity.get(process.pid);
}

controllers::Host::CpuTime MachineHost::cpu_time(GroupId group) {
    return time_of(census_.cpu_time(group));
}

controllers::Host::CpuTime MachineHost::own_cpu_time(GroupId group) {
    return time_of(census_.own_cpu_time(group));
}

controllers::Host::TaskCount MachineHost::task_count(GroupId group) {
    const processes::TaskCount count = census_.count_exactly(group);
    return {count.tasks, count.processes};
}

base::Result<> MachineHost::publish_budget(GroupId group, wire::BudgetKind kind, std::uint64_t limit,
                                           int refuse_errno) {
    return enforcer_->publish(group, kind, limit, refuse_errno);
}

void MachineHost::set_fork_rate(GroupId group, std::uint64_t count, std::uint64_t window_ns,
                                wire::RateSpends spends) {
    enforcer_->set_fork_rate(group, count, window_ns, spends);
}

void MachineHost::set_guarantee(GroupId group, std::uint64_t count) {
    enforcer_->set_guarantee(group, count);
}

std::uint64_t MachineHost::fork_rate_failcnt(GroupId group) {
    return enforcer_->fork_rate_failcnt(group);
}

void MachineHost::retire_budget(GroupId group, wire::BudgetKind kind) {
    enforcer_->retire(group, kind);
}

std::uint64_t MachineHost::budget_failcnt(GroupId group, wire::BudgetKind kind) {
    return enforcer_->failcnt(group, kind);
}

bool MachineHost::has_budget(GroupId group, wire::BudgetKind kind) {
    return enforcer_->has_budget(group, kind);
}

controllers::Host::MemoryUse MachineHost::memory_use(GroupId group, std::chrono::nanoseconds budget) {
    return memory_.sample(census_.table(), group, budget);
}

void MachineHost::move_pages(processes::Process& process, GroupId group, const base::CpuList& from,
                             const base::CpuList& to) {
    if (page_moves_ != nullptr) {
        page_moves_->move(process, group, from, to);
    }
}

void MachineHost::leave_pages(const processes::Process& process) {
    if (page_moves_ != nullptr) {
        page_moves_->forget(process.id());
    }
}

std::uint64_t MachineHost::pages_waiting(GroupId group) {
    return page_moves_ == nullptr ? 0 : page_moves_->waiting(group);
}

base::Result<controllers::Host::Limit> MachineHost::limit(base::ProcessId process, int resource) {
    auto limit = sys::get_limit(process, resource);
    return limit ? base::Result<Limit>(Limit{limit->soft, limit->hard}) : base::pass(limit);
}

base::Result<> MachineHost::set_limit(base::ProcessId process, int resource, const Limit& limit) {
    return sys::set_limit(census_.files(), process, resource, {limit.soft, limit.hard});
}

void MachineHost::remember_limits(processes::Process& process, const LimitSet& limits) {
    process.past_limits = past_limits_.number_of(limits);
}

std::optional<controllers::Host::LimitSet> MachineHost::remembered_limits(const processes::Process& process) {
    return past_limits_.find(process.past_limits);
}

std::uint64_t MachineHost::file_count(GroupId group) {
    return files_->count(group);
}

base::Result<> MachineHost::publish_files(GroupId group, std::uint64_t barrier, std::uint64_t limit,
                                          int refuse_errno) {
    return enforcer_->publish(group, wire::BudgetKind::files, limit, refuse_errno, barrier);
}

controllers::Host::Waters MachineHost::file_waters(GroupId group) {
    return enforcer_->file_waters(group);
}

void MachineHost::keep_file_waters(GroupId group, const Waters& waters) {
    enforcer_->keep_file_waters(group, waters);
}

void MachineHost::files_leave(const processes::Process& process, GroupId from) {
    files_->leave(process, from);
}

void MachineHost::files_forked(const processes::Process& parent, const processes::Process& child) {
    if (files_ != nullptr) {
        files_->book().forked(parent, child);
    }
}

void MachineHost::files_ended(const processes::Process& process) {
    if (files_ != nullptr) {
        files_->book().ended(process);
    }
}

std::map<GroupId, std::uint64_t> MachineHost::files_open_elsewhere() {
    return files_ == nullptr ? std::map<GroupId, std::uint64_t>() : files_->book().open_elsewhere();
}

void MachineHost::freeze(GroupId group) {
    freezing_->ask(group);
}

void MachineHost::thaw(GroupId group) {
    (void)freezing_->thaw(group).has_value();  // its answer is for clients
}

bool MachineHost::stands_still(GroupId group) {
    return freezing_->stands_still(group);
}

void MachineHost::raise_peak(GroupId group, std::uint64_t tasks) {
    enforcer_->raise_peak(group, tasks);
}

std::uint64_t MachineHost::kept_peak(GroupId group) {
    return enforcer_->peak(group);
}

}  // namespace gpcsup::supervisor
