#include "grouping/release_queue.h"

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

ReleaseQueue::Turn ReleaseQueue::turn(const Forest& forest, Time now) {
    Turn turn;
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
        running_.insert(id);
        started_.push_back(now);
        turn.told.push_back(id);
    }
    ready_ = std::move(later);
    if (!ready_.empty() && started_.size() >= limits_.in_window) {
        turn.again = started_.front() + limits_.window;
    }
    return turn;
}

}  // namespace gpcsup::grouping
