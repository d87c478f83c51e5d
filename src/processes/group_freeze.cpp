#include "processes/group_freeze.h"

#include <unistd.h>

#include <csignal>
#include <cstring>

namespace gpcsup::processes {
namespace {

// A fork bomb at its height: each round stops all that are known, so those it misses are the last fork of
// each; more rounds than this only serve processes that come from outside (attached meanwhile).
constexpr int rounds_at_most = 32;
constexpr int quiet_rounds = 2;
constexpr auto pause = std::chrono::milliseconds(5);

bool is_stopped(sys::ProcFiles& files, const sys::ProcStat& stat) {
    return sys::is_stopped(sys::living_state(files, stat));
}

}  // namespace

base::Result<> freeze_process(Process& process, sys::ProcFiles& files, sys::Signals& signals) {
    if (!process.has(process_frozen)) {
        const auto stat = files.stat(process.pid);
        if (stat && stat->start_time == process.start_time && is_stopped(files, *stat)) {
            process.flags |= process_was_stopped;
        }
        process.flags |= process_frozen;
    }
    auto sent = signals.send(process.id(), SIGSTOP);
    if (!sent) {
        process.flags &= ~static_cast<std::uint32_t>(process_frozen | process_was_stopped);
    }
    return sent;
}

void thaw_process(Process& process, sys::Signals& signals) {
    if (!process.has(process_frozen)) {
        return;
    }
    if (!process.has(process_was_stopped)) {
        (void)!signals.send(process.id(), SIGCONT)
            .has_value();  // it has gone, or we could not stop it either
    }
    process.flags &= ~static_cast<std::uint32_t>(process_frozen | process_was_stopped);
}

std::vector<base::ProcessId> members_below(ProcessTable& table, grouping::GroupId group,
                                           std::uint32_t without_flags, const std::set<pid_t>& spared) {
    std::vector<base::ProcessId> all;
    table.for_each_member_below(group, [&](const Process& process) {
        if (process.start_time != 0 && (process.flags & (without_flags | process_helper)) == 0 &&
            !spared.contains(process.pid)) {
            all.push_back(process.id());
        }
    });
    return all;
}

GroupFreeze::GroupFreeze(const SignalTools& tools, grouping::GroupId group, std::chrono::nanoseconds patience,
                         std::uint32_t without_flags, std::set<pid_t> spared)
    : tools_(tools),
      group_(group),
      deadline_(tools.clocks.monotonic() + patience),
      without_flags_(without_flags),
      spared_(std::move(spared)) {
    spared_.insert(::getpid());
}

std::size_t GroupFreeze::stop_new() {
    std::size_t count = 0;
    for (const auto& id : members_below(tools_.table, group_, without_flags_, spared_)) {
        Process* process = tools_.table.find(id);
        if (process == nullptr || !asked_.insert(id).second) {
            continue;
        }
        ++count;
        // Whoever cannot be reached is found by the look at their states.
        (void)!freeze_process(*process, tools_.files, tools_.signals).has_value();
    }
    return count;
}

void GroupFreeze::stop_all() {
    int quiet = 0;
    for (int round = 0; round < rounds_at_most && quiet < quiet_rounds; ++round) {
        quiet = stop_new() == 0 ? quiet + 1 : 0;
        (void)!tools_.tracker.drain().has_value();
    }
}

// A parent that waits inside vfork for a child that stands still is in an uninterruptible call until the
// child goes on: it stands as still as its child does.
bool GroupFreeze::stands_still(const Process& process, char state) {
    if (sys::is_stopped(state)) {
        return true;
    }
    bool waits_for_stopped_child = false;
    if (state == 'D') {
        tools_.table.for_each_child(process.pid, [&](const Process& child) {
            const auto seen = child.has(process_frozen)
                                  ? tools_.files.stat(child.pid)
                                  : base::Result<sys::ProcStat>(base::fail(ESRCH, "", ""));
            waits_for_stopped_child = waits_for_stopped_child || (seen && is_stopped(tools_.files, *seen));
        });
    }
    return waits_for_stopped_child;
}

void GroupFreeze::look() {
    survivors_.clear();
    stopped_ = 0;
    for (const auto& id : members_below(tools_.table, group_, without_flags_, spared_)) {
        const Process* process = tools_.table.find(id);
        const auto stat = tools_.files.stat(id.pid);
        if (process == nullptr || !stat || stat->start_time != id.start_time || stat->ended()) {
            continue;
        }
        // The stop reaches a thread when it next returns from the kernel: the leader's says nothing of
        // others.
        const char state = stat->threads > 1 ? sys::state_of_threads(tools_.files, *stat) : stat->state;
        if (stands_still(*process, state)) {
            ++stopped_;
            continue;
        }
        std::string reason = "is in an uninterruptible call of the kernel";
        if (auto sent = tools_.signals.send(id, SIGSTOP); !sent) {
            reason = std::string("cannot be signalled: ") + std::strerror(sent.error().code);
        } else if (state != 'D') {
            reason = std::string("has been stopped and is still in state ") + state;
        }
        survivors_.push_back({id, std::move(reason)});
    }
}

GroupFreeze::Status GroupFreeze::step() {
    if (phase_ == Phase::freezing) {
        (void)!tools_.tracker.drain().has_value();  // what it cannot tell now it tells at the next step
        stop_all();
        look();
        if (survivors_.empty()) {
            phase_ = Phase::done;
        } else if (tools_.clocks.monotonic() >= deadline_) {
            phase_ = Phase::given_up;
        }
    }
    return {.phase = phase_, .again = phase_ == Phase::freezing ? pause : std::chrono::nanoseconds(0)};
}

}  // namespace gpcsup::processes
