#pragma once
// Clients that wait for a group to become empty, populated, frozen or thawed. It looks when it is told that
// something changed, and answers; it changes nothing. A group that is removed meanwhile is empty.

#include <functional>
#include <optional>
#include <vector>

#include "control/handler.h"
#include "grouping/forest.h"
#include "supervisor/event_loop.h"

namespace gpcsup::supervisor {

enum class GroupCondition { empty, populated, frozen, thawed };

// EINVAL names those that there are.
base::Result<GroupCondition> parse_condition(std::string_view word);

class GroupWaits {
  public:
    static constexpr std::size_t most_waits = 16;  // of one connection
    // `is_frozen`: everybody in the group stands still.
    using IsFrozen = std::function<bool(grouping::GroupId)>;
    GroupWaits(grouping::Forest& forest, EventLoop& loop, IsFrozen is_frozen)
        : forest_(forest), loop_(loop), is_frozen_(std::move(is_frozen)) {}
    base::Result<> open();

    struct Wish {
        grouping::GroupId group;
        GroupCondition condition = GroupCondition::empty;
        std::uint64_t deadline_ns = 0;  // 0 = none
        std::uint64_t connection = 0;
    };
    void wait(const Wish& wish, control::Reply reply);
    // That it is empty, of a group that is not there.
    [[nodiscard]] static std::string empty_answer(std::string_view group);
    void review();  // something changed
    void disconnected(std::uint64_t connection);

  private:
    struct Waiting {
        Wish wish;
        std::string path;
        control::Reply reply;
    };
    [[nodiscard]] std::optional<base::Result<std::string>> answer(const Waiting& waiting) const;
    [[nodiscard]] std::string not_met(const Waiting& waiting) const;
    void expire();
    void arm();

    grouping::Forest& forest_;
    EventLoop& loop_;
    IsFrozen is_frozen_;
    std::vector<Waiting> waiting_;
    Watch timer_;
};

}  // namespace gpcsup::supervisor
