#pragma once
// Removals that cannot be done at once: of a group that is to go when it is empty (`--wait`), or when what is
// in it has been killed (`--kill`). Nothing is looked at again before something emptied or went; each waits
// until its deadline, and no longer than its client is there. It kills through a function that it is given.

#include <functional>
#include <vector>

#include "control/handler.h"
#include "supervisor/event_loop.h"
#include "supervisor/groups.h"

namespace gpcsup::supervisor {

class Removals {
  public:
    enum class Reach { group, tree };
    enum class Means { emptiness, kill };
    enum class Patience { none, waits };
    struct Wish {
        grouping::GroupId group;
        Reach reach = Reach::group;
        Means means = Means::emptiness;
        Patience patience = Patience::none;
        std::uint64_t deadline_ns = 0;  // of Patience::waits; 0 = none
        std::uint64_t connection = 0;
    };
    using Kill = std::function<void(grouping::GroupId)>;

    Removals(EventLoop& loop, grouping::Forest& forest, Groups& groups, Kill kill)
        : loop_(loop), forest_(forest), groups_(groups), kill_(std::move(kill)) {}

    base::Result<> open();
    // Answers with {"schema", "group", "state": "removed" or "dying", "held_by"}, EBUSY or ETIMEDOUT with
    // what is in the way.
    void ask(const Wish& wish, control::Reply reply);
    void review();                        // something emptied or went
    void drop(std::uint64_t connection);  // its client has gone

    static constexpr std::size_t most_waits = 256;

  private:
    struct Pending {
        Wish wish;
        std::string path;
        control::Reply reply;
    };
    [[nodiscard]] bool in_the_way(const Wish& wish) const;
    [[nodiscard]] base::Result<> remove(const Wish& wish);
    [[nodiscard]] std::string answer(const Wish& wish, const std::string& path) const;
    [[nodiscard]] base::Error too_late(const Pending& pending) const;
    void expire();
    void arm();

    EventLoop& loop_;
    grouping::Forest& forest_;
    Groups& groups_;
    Kill kill_;
    std::vector<Pending> pending_;
    Watch timer_;
};

}  // namespace gpcsup::supervisor
