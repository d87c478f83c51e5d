#include "grouping/release_queue.h"

#include <algorithm>

namespace gpcsup::grouping {

ReleaseQueue::Taken ReleaseQueue::candidate(const Forest& forest, GroupId id) {
    const Group* group = forest.group(id);
    const bool to_be_told = group != nullptr && group->parent.value != 0 && !group->dying &&
                            group->notify_on_release && !group->auto_remove && group->populated == 0 &&
                            !forest.release_agent(group->hierarchy).empty();
    if (!to_be_told) {
        return Taken::no;
    }
    const bool fresh = waiting_.insert(id).second;
    if (forest.is_releasable(id) && in_ready_.insert(id).second) {
        ready_.push_back(id);
    }
    return fresh ? Taken::waits : Taken::known;
}

ReleaseQueue::Withdrawn ReleaseQueue::withdraw(GroupId id) {
    if (waiting_.erase(id) == 0) {
        return Withdrawn::no;
    }
    if (in_ready_.erase(id) > 0) {
        std::erase(ready_, id);
    }
    deferred_.erase(id);
    return Withdrawn::yes;
}

bool ReleaseQueue::has_room(Time now) {
    while (!started_.empty() && now - started_.front() >= limits_.window) {
        started_.pop_front();
    }
    return running_.size() < limits_.at_once && started_.size() < limits_.in_window;
}

std::vector<GroupId> ReleaseQueue::take_overdue(Time now) {
    std::vector<GroupId> overdue;
    for (auto& [id, until] : running_) {
        if (until <= now) {
            until = Time::max();
            overdue.push_back(id);
        }
    }
    return overdue;
}

// When the next agent is due to end, or the window has room again for those that wait.
std::optional<ReleaseQueue::Time> ReleaseQueue::next_turn() const {
    Time next = Time::max();
    for (const auto& [id, until] : running_) {
        next = std::min(next, until);
    }
    if (!ready_.empty() && started_.size() >= limits_.in_window) {
        next = std::min(next, started_.front() + limits_.window);
    }
    return next == Time::max() ? std::nullopt : std::optional(next);
}

ReleaseQueue::Turn ReleaseQueue::turn(const Forest& forest, Time now) {
    Turn turn;
    turn.overdue = take_overdue(now);
    std::deque<GroupId> later;
    while (!ready_.empty()) {
        const GroupId id = ready_.front();
        ready_.pop_front();
        const Group* group = forest.group(id);
        if (group != nullptr && group->populated == 0 && !group->dying && group->notify_on_release &&
            !forest.is_releasable(id)) {
            in_ready_.erase(id);  // a child or a holder came: it waits for that one to go
            continue;
        }
        if (!forest.is_releasable(id) || forest.release_agent(group->hierarchy).empty()) {
            in_ready_.erase(id);
            waiting_.erase(id);
            deferred_.erase(id);
            turn.dropped.push_back(id);
            continue;
        }
        if (running_.contains(id) || !has_room(now)) {
            later.push_back(id);
            if (deferred_.insert(id).second) {
                turn.deferred.push_back(id);
            }
            continue;
        }
        in_ready_.erase(id);
        waiting_.erase(id);
        deferred_.erase(id);
        running_[id] = end_of_agent(now);
        started_.push_back(now);
        turn.told.push_back(id);
    }
    ready_ = std::move(later);
    turn.again = next_turn();
    return turn;
}

}  // namespace gpcsup::grouping
