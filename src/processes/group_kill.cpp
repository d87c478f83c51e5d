#include "processes/group_kill.h"

#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>

namespace gpcsup::processes {
namespace {

// A fork bomb at its height: each round stops all that are known, so those it misses are the last fork of
// each; more rounds than this only serve processes that come from outside (attached meanwhile).
constexpr int rounds_at_most = 32;
constexpr int quiet_rounds = 2;
constexpr auto pause = std::chrono::milliseconds(10);

}  // namespace

GroupKill::GroupKill(ProcessTable& table, sys::ProcFiles& files, sys::Signals& signals, sys::Clocks& clocks,
                     Tracker& tracker, grouping::GroupId group, std::chrono::nanoseconds patience,
                     std::set<pid_t> spared)
    : table_(table),
      files_(files),
      signals_(signals),
      clocks_(clocks),
      tracker_(tracker),
      group_(group),
      deadline_(clocks.monotonic() + patience),
      spared_(std::move(spared)) {
    spared_.insert(::getpid());
}

std::vector<base::ProcessId> GroupKill::members() {
    std::vector<base::ProcessId> all;
    table_.for_each_member_below(group_, [&](const Process& process) {
        if (process.start_time != 0 && !spared_.contains(process.pid)) {
            all.push_back(process.id());
        }
    });
    return all;
}

std::size_t GroupKill::signal_new(int signal, std::set<base::ProcessId>& done) {
    std::size_t count = 0;
    for (const auto& id : members()) {
        if (!done.insert(id).second) {
            continue;
        }
        ++count;
        // Whoever cannot be reached is among the survivors, or gone: either way the next step knows.
        (void)!signals_.send(id, signal).has_value();
    }
    return count;
}

void GroupKill::freeze() {
    int quiet = 0;
    for (int round = 0; round < rounds_at_most && quiet < quiet_rounds; ++round) {
        quiet = signal_new(SIGSTOP, frozen_) == 0 ? quiet + 1 : 0;
        (void)!tracker_.drain().has_value();
    }
    phase_ = Phase::killing;
}

void GroupKill::kill() {
    for (int round = 0; round < rounds_at_most && signal_new(SIGKILL, killed_) > 0; ++round) {
        (void)!tracker_.drain().has_value();
    }
}

void GroupKill::report_survivors(const std::vector<base::ProcessId>& left) {
    for (const auto& id : left) {
        const auto stat = files_.stat(id.pid);
        if (!stat || stat->start_time != id.start_time || stat->ended()) {
            continue;
        }
        std::string reason = "is in an uninterruptible call of the kernel";
        if (auto sent = signals_.send(id, SIGKILL); !sent) {
            reason = std::string("cannot be signalled: ") + std::strerror(sent.error().code);
        } else if (stat->state != 'D') {
            reason = std::string("has been signalled and is still in state ") + stat->state;
        }
        survivors_.push_back({id, std::move(reason)});
    }
}

GroupKill::Status GroupKill::step() {
    (void)!tracker_.drain().has_value();  // what it cannot tell now it tells at the next step
    if (phase_ == Phase::freezing && members().empty()) {
        phase_ = Phase::done;
    }
    if (phase_ == Phase::freezing) {
        freeze();
    }
    if (phase_ == Phase::killing) {
        kill();
        // Only what the tracker has told counts: a member that is gone may have left a child that is still to
        // be told of.
        const auto left = members();
        if (left.empty()) {
            phase_ = Phase::done;
        } else if (clocks_.monotonic() >= deadline_) {
            report_survivors(left);
            phase_ = survivors_.empty() ? Phase::done : Phase::given_up;
        }
    }
    return {.phase = phase_, .again = phase_ == Phase::killing ? pause : std::chrono::nanoseconds(0)};
}

}  // namespace gpcsup::processes
