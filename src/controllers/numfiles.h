#pragma once
// numfiles, the beancounters: how many open file descriptions a group and all below it may have. A
// description is charged to the group in which it was opened, once, whatever is duplicated, inherited or
// passed on, and also after the opener has been moved: until the last descriptor of it is closed the group is
// kept, dying if it is removed. The limits are data for gpc-enforce, which decides each open: whoever has
// CAP_SYS_ADMIN may go to the limit, everybody else to the barrier.
//
// In a hierarchy of 2006 a new group has 256 and 512, what is below it does not count, and ENFILE is the
// refusal.

#include <map>
#include <set>

#include "controllers/controller.h"

namespace gpcsup::controllers {

class Numfiles final : public Controller {
  public:
    explicit Numfiles(Host& host);
    [[nodiscard]] std::string_view name() const override { return "numfiles"; }
    [[nodiscard]] std::span<const Attribute> attributes() const override;
    base::Result<> create(grouping::GroupId group, grouping::GroupId parent) override;
    void destroy(grouping::GroupId group) override;
    void recover(grouping::GroupId group) override;
    base::Result<> can_set(grouping::GroupId group, std::string_view attribute, const Value& value) override;
    base::Result<> can_change(grouping::GroupId group, std::span<const Change> changes) override;
    base::Result<> set(grouping::GroupId group, std::string_view attribute, const Value& value) override;
    base::Result<> restore(grouping::GroupId group, std::string_view attribute, const Value& value) override;
    base::Result<Value> get(grouping::GroupId group, std::string_view attribute) override;
    base::Result<> attach(std::span<const Move> moves) override;
    void fork(const processes::Process& parent, processes::Process& child, grouping::GroupId group) override;
    void exit(const processes::Process& process, grouping::GroupId group) override;
    [[nodiscard]] std::vector<wire::TrapClass> traps(grouping::GroupId group) override;
    [[nodiscard]] std::vector<wire::TrapClass> possible_traps() const override;

  private:
    struct State {
        grouping::GroupId parent;
        std::uint64_t barrier = wire::unlimited;
        std::uint64_t limit = wire::unlimited;
        Host::Waters waters;  // kept for a successor in the group's row
        [[nodiscard]] bool is_limited() const {
            return barrier != wire::unlimited || limit != wire::unlimited;
        }
    };
    base::Result<> publish(grouping::GroupId group, const State& state);
    void note(grouping::GroupId group, State& state, std::uint64_t held);
    void look_at_holds();

    Host& host_;
    std::map<grouping::GroupId, State> states_;
    std::set<grouping::GroupId> held_;  // by us, for files that are open elsewhere
};

}  // namespace gpcsup::controllers
