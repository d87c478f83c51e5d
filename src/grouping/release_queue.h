#pragma once
// Which groups the release agents are to be told of, and when: a group that emptied waits here until it has
// neither children nor holders left, then for its turn. Each group once, however often it emptied meanwhile;
// so many agents at once and so many a second; never two for one group at the same time; an agent that takes
// too long is named, so that it does not keep the others waiting for ever. Pure: it starts
// nothing and knows no clock; the caller journals what it is told.

#include <chrono>
#include <deque>
#include <map>
#include <optional>
#include <set>
#include <unordered_set>
#include <vector>

#include "grouping/forest.h"

namespace gpcsup::grouping {

class ReleaseQueue {
  public:
    using Time = std::chrono::nanoseconds;
    struct Limits {
        std::size_t at_once = 4;
        std::size_t in_window = 10;
        Time window = std::chrono::seconds(1);
        Time agent_time = std::chrono::seconds(30);
    };
    explicit ReleaseQueue(Limits limits) : limits_(limits) {}
    ReleaseQueue() : ReleaseQueue(Limits{}) {}

    // Something of the group went (see Forest::take_release_candidates). `waits`: it is in the queue from now
    // on; `known`: it was already; `no`: it has no agent, is not to be told of, or is populated.
    enum class Taken : std::uint8_t { no, waits, known };
    Taken candidate(const Forest& forest, GroupId id);
    // It is populated again, or gone, or an agent was started for it by a predecessor.
    enum class Withdrawn : std::uint8_t { no, yes };
    Withdrawn withdraw(GroupId id);

    // What is to be done now. `told` and `dropped` have left the queue; who is told counts as running until
    // finished().
    struct Turn {
        std::vector<GroupId> told;
        std::vector<GroupId> deferred;  // releasable, but the limits say later: each is named once
        std::vector<GroupId> dropped;   // populated again, gone, or no longer to be told of
        std::vector<GroupId>
            overdue;                // their agents are to be ended: each is named once, and runs until then
        std::optional<Time> again;  // ask again then; else when one has finished
    };
    Turn turn(const Forest& forest, Time now);
    // A predecessor has started an agent for it, which has time until then.
    void running(GroupId id, Time until) { running_[id] = until; }
    void finished(GroupId id) { running_.erase(id); }
    [[nodiscard]] Time end_of_agent(Time start) const { return start + limits_.agent_time; }

    [[nodiscard]] std::size_t waiting() const { return waiting_.size(); }

  private:
    [[nodiscard]] bool has_room(Time now);
    std::vector<GroupId> take_overdue(Time now);
    [[nodiscard]] std::optional<Time> next_turn() const;

    Limits limits_;
    std::set<GroupId> waiting_;
    std::deque<GroupId> ready_;  // those of waiting_ that were found releasable, in that order
    std::unordered_set<GroupId> in_ready_;
    std::unordered_set<GroupId> deferred_;
    std::map<GroupId, Time> running_;  // until when; Time::max() = its end has been asked for
    std::deque<Time> started_;         // within the window
};

}  // namespace gpcsup::grouping
