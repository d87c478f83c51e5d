#pragma once
// Which groups the release agents are to be told of, and when: a group that emptied waits here until it has
// neither children nor holders left, then for its turn. Each group once, however often it emptied meanwhile;
// so many agents at once and so many a second; never two for one group at the same time. Pure: it starts
// nothing and knows no clock; the caller journals what it is told.

#include <chrono>
#include <deque>
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
        std::optional<Time> again;      // ask again then; else when one has finished
    };
    Turn turn(const Forest& forest, Time now);
    void running(GroupId id) { running_.insert(id); }
    void finished(GroupId id) { running_.erase(id); }

    [[nodiscard]] std::size_t waiting() const { return waiting_.size(); }

  private:
    [[nodiscard]] bool has_room(Time now);

    Limits limits_;
    std::set<GroupId> waiting_;
    std::deque<GroupId> ready_;  // those of waiting_ that were found releasable, in that order
    std::unordered_set<GroupId> in_ready_;
    std::unordered_set<GroupId> deferred_;
    std::unordered_set<GroupId> running_;
    std::deque<Time> started_;  // within the window
};

}  // namespace gpcsup::grouping
