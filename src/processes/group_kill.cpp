#include "processes/group_kill.h"

#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>

namespace gpcsup::processes {
namespace {

constexpr int rounds_at_most = 32;
constexpr auto pause = std::chrono::milliseconds(10);

}  // namespace

GroupKill::GroupKill(const SignalTools& tools, grouping::GroupId group, std::chrono::nanoseconds patience,
                     std::set<pid_t> spared)
    : tools_(tools),
      deadline_(tools.clocks.monotonic() + patience),
      spared_(std::move(spared)),
      freeze_(tools, group, patience, 0, spared_) {
    spared_.insert(::getpid());
}

std::vector<base::ProcessId> GroupKill::members() {
    return members_below(tools_.table, group(), 0, spared_);
}

void GroupKill::kill() {
    std::size_t fresh = 1;
    for (int round = 0; round < rounds_at_most && fresh > 0; ++round) {
        fresh = 0;
        for (const auto& id : members()) {
            if (killed_.insert(id).second) {
                ++fresh;
                // Whoever cannot be reached is among the survivors, or gone: either way the next step knows.
                (void)!tools_.signals.send(id, SIGKILL).has_value();
            }
        }
        if (fresh > 0) {
            (void)!tools_.tracker.drain().has_value();
        }
    }
}

void GroupKill::report_survivors(const std::vector<base::ProcessId>& left) {
    for (const auto& id : left) {
        const auto stat = tools_.files.stat(id.pid);
        if (!stat || stat->start_time != id.start_time || stat->ended()) {
            continue;
        }
        std::string reason = "is in an uninterruptible call of the kernel";
        if (auto sent = tools_.signals.send(id, SIGKILL); !sent) {
            reason = std::string("cannot be signalled: ") + std::strerror(sent.error().code);
        } else if (const char state = sys::living_state(tools_.files, *stat); state != 'D') {
            reason = std::string("has been signalled and is still in state ") + state;
        }
        survivors_.push_back({id, std::move(reason)});
    }
}

GroupKill::Status GroupKill::step() {
    (void)!tools_.tracker.drain().has_value();  // what it cannot tell now it tells at the next step
    if (phase_ == Phase::freezing) {
        if (members().empty()) {
            phase_ = Phase::done;
        } else {
            freeze_.stop_all();
            phase_ = Phase::killing;
        }
    }
    if (phase_ == Phase::killing) {
        kill();
        // Only what the tracker has told counts: a member that is gone may have left a child that is still to
        // be told of.
        const auto left = members();
        if (left.empty()) {
            phase_ = Phase::done;
        } else if (tools_.clocks.monotonic() >= deadline_) {
            report_survivors(left);
            phase_ = survivors_.empty() ? Phase::done : Phase::given_up;
        }
    }
    return {.phase = phase_, .again = phase_ == Phase::killing ? pause : std::chrono::nanoseconds(0)};
}

}  // namespace gpcsup::processes
