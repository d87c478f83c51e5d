#include "processes/threads_apart.h"

#include <algorithm>
#include <cerrno>
#include <set>
#include <string>

namespace gpcsup::processes {

using base::ProcessId;
using base::ThreadId;
using grouping::GroupId;
using grouping::Places;

base::Result<> ThreadsApart::check_room(const std::vector<ThreadId>& threads) const {
    std::set<ThreadId> fresh(threads.begin(), threads.end());
    std::erase_if(fresh, [this](const ThreadId& thread) { return own_.contains(thread); });
    if (own_.size() + fresh.size() > most) {
        return base::refuse(ENOSPC, "at most " + std::to_string(most) +
                                        " threads can be apart from their processes, and " +
                                        std::to_string(own_.size()) + " are");
    }
    return {};
}

void ThreadsApart::place(const ThreadId& thread, const Places& own) {
    const auto known = own_.find(thread);
    const Places before = known != own_.end() ? known->second : Places{};
    if (own == Places{}) {
        own_.erase(thread);
    } else {
        own_[thread] = own;
    }
    // What it gets before what it leaves: a group above both does not look empty in between.
    for (std::size_t slot = 0; slot < own.size(); ++slot) {
        if (own[slot] != before[slot]) {
            forest_.add_thread(own[slot]);
            forest_.remove_thread(before[slot]);
        }
    }
}

const Places* ThreadsApart::find(const ThreadId& thread) const {
    const auto found = own_.find(thread);
    return found != own_.end() ? &found->second : nullptr;
}

std::vector<ThreadId> ThreadsApart::of(ProcessId process) const {
    std::vector<ThreadId> found;
    for (auto at = own_.lower_bound({process, 0, 0}); at != own_.end() && at->first.process == process;
         ++at) {
        found.push_back(at->first);
    }
    return found;
}

std::vector<ThreadId> ThreadsApart::of(ProcessId process, grouping::HierarchyId hierarchy) const {
    auto found = of(process);
    std::erase_if(found, [&](const ThreadId& thread) { return own_.at(thread)[hierarchy.value].value == 0; });
    return found;
}

std::optional<ThreadId> ThreadsApart::find(ProcessId process, pid_t tid) const {
    for (const ThreadId& thread : of(process)) {
        if (thread.tid == tid) {
            return thread;
        }
    }
    return std::nullopt;
}

std::vector<ThreadId> ThreadsApart::members(GroupId group) const {
    std::vector<ThreadId> found;
    for (const auto& [thread, own] : own_) {
        if (std::ranges::find(own, group) != own.end()) {
            found.push_back(thread);
        }
    }
    return found;
}

std::vector<ThreadId> ThreadsApart::members_below(GroupId group) const {
    std::vector<ThreadId> found;
    for (const auto& [thread, own] : own_) {
        if (std::ranges::any_of(own, [&](GroupId each) { return forest_.is_within(each, group); })) {
            found.push_back(thread);
        }
    }
    return found;
}

}  // namespace gpcsup::processes
