#pragma once
// Kills of groups that are under way (processes/group_kill.h): stepped by a timer until each is over, and
// told to those who wait. They are in the journal and are gone on with by a successor.

#include <list>
#include <vector>

#include "control/handler.h"
#include "journal/journal.h"
#include "supervisor/census.h"
#include "supervisor/chronicle.h"

namespace gpcsup::supervisor {

class Kills {
  public:
    static constexpr std::size_t most_waits = 256;
    Kills(EventLoop& loop, Census& census, grouping::Forest& forest, Chronicle& chronicle)
        : loop_(loop), census_(census), forest_(forest), chronicle_(chronicle) {}
    base::Result<> open();
    void restore(const journal::States& states);  // and begins with them

    void start(grouping::GroupId group, std::chrono::nanoseconds patience);
    // The group is about to get members that are not meant: the kill of those before is over.
    void end(grouping::GroupId group);
    // Answered when no kill of this group is under way (any more): {"schema", "group", "survivors": [...]}.
    void wait(grouping::GroupId group, std::uint64_t connection, control::Reply reply);
    void disconnected(std::uint64_t connection);

  private:
    struct Waiter {
        std::uint64_t connection;
        control::Reply reply;
    };
    struct Running {
        processes::GroupKill kill;
        std::string path;
        std::vector<Waiter> waiters;
    };
    void step();
    void finish(Running& running);
    Running* find(grouping::GroupId group);

    EventLoop& loop_;
    Census& census_;
    grouping::Forest& forest_;
    Chronicle& chronicle_;
    std::list<Running> running_;
    Watch timer_;
    enum class Stepping { no, yes } stepping_ = Stepping::no;
};

// [{"pid", "reason"}…] of those who did not do what was asked.
[[nodiscard]] Json survivors_to_json(const std::vector<processes::Survivor>& survivors);

}  // namespace gpcsup::supervisor
