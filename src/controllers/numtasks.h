#pragma once
// numtasks: how many tasks (threads and processes) a group and all below it may have. The limits are data for
// gpc-enforce, which decides each fork; this controller only publishes them and shows the counts. Moves are
// never refused and may carry a group over its limit, as in the kernel's pids; so may lowering a limit.
// forkrate is of forks, not of tasks: a window begins with the first fork after the last one has ended, and a
// fork that is refused, here or above, for whatever reason, costs nothing of it.
//
// Shares are parts of what the parent has: max_shares is a limit that follows the parent's, min_shares keeps
// tasks for the group that its siblings cannot have. What a group uses above its guarantee it borrows from
// the parent. Both count for nothing while there is no limit above.
//
// In a hierarchy of 2006 each group is limited by itself: nothing below it counts, a guarantee keeps nothing
// from anybody, a fork is refused with ENOSPC, and one that a limit refuses has cost its part of the
// forkrate.

#include <map>

#include "controllers/controller.h"
#include "controllers/shares.h"

namespace gpcsup::controllers {

class Numtasks final : public Controller {
  public:
    explicit Numtasks(Host& host) : host_(host) {}
    [[nodiscard]] std::string_view name() const override { return "numtasks"; }
    [[nodiscard]] std::span<const Attribute> attributes() const override;
    base::Result<> create(grouping::GroupId group, grouping::GroupId parent) override;
    void destroy(grouping::GroupId group) override;
    void recover(grouping::GroupId group) override;
    base::Result<> can_set(grouping::GroupId group, std::string_view attribute, const Value& value) override;
    base::Result<> can_change(grouping::GroupId group, std::span<const Change> changes) override;
    base::Result<> set(grouping::GroupId group, std::string_view attribute, const Value& value) override;
    base::Result<Value> get(grouping::GroupId group, std::string_view attribute) override;
    base::Result<> attach(std::span<const Move> moves) override;
    void fork(const processes::Process& parent, processes::Process& child, grouping::GroupId group) override;
    void born(processes::Process& process, grouping::GroupId group) override;
    [[nodiscard]] std::vector<wire::TrapClass> traps(grouping::GroupId group) override;
    [[nodiscard]] std::vector<wire::TrapClass> possible_traps() const override;

  private:
    struct State {
        grouping::GroupId parent;
        std::uint64_t tasks = wire::unlimited;
        std::uint64_t processes = wire::unlimited;
        Rate rate{wire::unlimited, 0};
        Value rate_text = Max{};  // as it is shown
        Shares shares;
        std::uint64_t ceiling = wire::unlimited;  // as published: of `tasks` and the shares above
        std::uint64_t guarantee = 0;              // the same
        std::uint64_t peak = 0;  // kept for a successor in the group's rows: none before it has a limit
    };
    // What a group has by its own settings and those above it.
    struct Entitled {
        std::uint64_t ceiling = wire::unlimited;
        std::uint64_t guarantee = 0;
        std::uint64_t for_children =
            wire::unlimited;  // what their guarantees are parts of; unlimited: nothing
    };
    [[nodiscard]] Entitled entitled(const State& state) const;
    [[nodiscard]] std::vector<Shares> shares_below(grouping::GroupId parent, grouping::GroupId except) const;
    base::Result<> publish_below(grouping::GroupId top);
    base::Result<> publish_tasks(grouping::GroupId group, State& state, const Entitled& now);
    base::Result<> set_rate(grouping::GroupId group, const Value& value);
    base::Result<> publish(grouping::GroupId group, wire::BudgetKind kind, std::uint64_t limit);
    void publish_rate(grouping::GroupId group, const Rate& rate);
    void note_arrival(grouping::GroupId group);
    void raise_peak(grouping::GroupId group, State& state, std::uint64_t tasks);

    Host& host_;
    std::map<grouping::GroupId, State> states_;
};

}  // namespace gpcsup::controllers
