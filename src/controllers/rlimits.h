#pragma once
// rlimits: limits of setrlimit(2) for all processes of a group. For each resource the tightest soft and the
// tightest hard limit of the group and those above it hold for each member by itself; nothing is summed.
//
// It only ever narrows: a member's own tighter limit stays. What it had before is remembered with it (Host),
// and it gets that back where a group's limit is lifted or it leaves, unless it has changed the limit itself
// meanwhile. A hard limit is raised only where gpcsupd may (CAP_SYS_RESOURCE).

#include <map>

#include "controllers/controller.h"

namespace gpcsup::controllers {

class Rlimits final : public Controller {
  public:
    explicit Rlimits(Host& host) : host_(host) {}
    [[nodiscard]] std::string_view name() const override { return "rlimits"; }
    [[nodiscard]] std::span<const Attribute> attributes() const override;
    base::Result<> create(grouping::GroupId group, grouping::GroupId parent) override;
    void destroy(grouping::GroupId group) override { states_.erase(group); }
    void recover(grouping::GroupId group) override;
    base::Result<> can_set(grouping::GroupId group, std::string_view attribute, const Value& value) override;
    base::Result<> set(grouping::GroupId group, std::string_view attribute, const Value& value) override;
    base::Result<> restore(grouping::GroupId group, std::string_view attribute, const Value& value) override;
    base::Result<> take_back(grouping::GroupId group, std::string_view attribute,
                             const CutOff& change) override;
    base::Result<Value> get(grouping::GroupId group, std::string_view attribute) override;
    base::Result<> attach(std::span<const Move> moves) override;
    void fork(const processes::Process& parent, processes::Process& child, grouping::GroupId group) override;
    void born(processes::Process& process, grouping::GroupId group) override;
    void birth(grouping::GroupId group, Birth& birth) override;

  private:
    struct State {
        grouping::GroupId parent;
        Host::LimitSet asked;
    };
    [[nodiscard]] Host::LimitSet effective(grouping::GroupId group) const;  // of no group: no limits
    base::Result<> adjust(processes::Process& process, const Host::LimitSet& from, const Host::LimitSet& to);
    base::Result<> adjust_one(base::ProcessId process, int resource, const Host::Limit& had,
                              const Host::Limit& wanted);
    base::Result<> adjust_members(grouping::GroupId group, const Host::LimitSet& from,
                                  const Host::LimitSet& to);

    Host& host_;
    std::map<grouping::GroupId, State> states_;
    std::chrono::nanoseconds last_change_{};  // a child forked before it may be told of after it
};

}  // namespace gpcsup::controllers
