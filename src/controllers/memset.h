#pragma once
// memset: on which NUMA nodes a group's processes get their memory. The lists and their rules are those of
// nested_lists.h; the root has the nodes that have memory.
//
// A process is born with the policy of its group, MPOL_BIND to the effective nodes, or MPOL_INTERLEAVE over
// them where memory_spread is set; its children have it from it. A policy is its process's own to set and
// nobody else's: after a move, or a change of the group, one that runs has the old one until it is started
// again, and status says so. What it sets for itself is trapped, and refused where it asks for nodes outside
// of the group (launch/policy_calls.h). A group that has every node restricts nothing and traps nothing.
//
// The memory that a process has already is another matter: where memory_migrate is set, it follows its
// process into the group, and to other nodes when the group gets others.

#include <map>
#include <optional>

#include "controllers/controller.h"
#include "controllers/nested_lists.h"

namespace gpcsup::controllers {

class Memset final : public Controller {
  public:
    explicit Memset(Host& host);
    [[nodiscard]] std::string_view name() const override { return "memset"; }
    [[nodiscard]] std::span<const Attribute> attributes() const override;
    base::Result<> create(grouping::GroupId group, grouping::GroupId parent) override;
    void destroy(grouping::GroupId group) override;
    base::Result<> can_set(grouping::GroupId group, std::string_view attribute, const Value& value) override;
    base::Result<> can_change(grouping::GroupId group, std::span<const Change> changes) override;
    base::Result<> set(grouping::GroupId group, std::string_view attribute, const Value& value) override;
    base::Result<> restore(grouping::GroupId group, std::string_view attribute, const Value& value) override;
    base::Result<Value> get(grouping::GroupId group, std::string_view attribute) override;
    base::Result<> can_start(grouping::GroupId group) override;
    base::Result<Value> asked(grouping::GroupId group, std::string_view attribute) override;
    base::Result<> attach(std::span<const Move> moves) override;
    void fork(const processes::Process& parent, processes::Process& child, grouping::GroupId group) override;
    void born(processes::Process& process, grouping::GroupId group) override;
    void exit(const processes::Process& process, grouping::GroupId group) override;
    void recover(grouping::GroupId group) override;
    void birth(grouping::GroupId group, Birth& birth) override;
    [[nodiscard]] std::vector<wire::TrapClass> traps(grouping::GroupId group) override;
    [[nodiscard]] std::vector<wire::TrapClass> possible_traps() const override;
    [[nodiscard]] std::optional<std::string> shortfall(const processes::Process& process,
                                                       grouping::GroupId group) override;
    void refresh() override;

  private:
    struct Policy {  // of a process, as its group has it
        bool spread = false;
        base::CpuList nodes;  // empty = everywhere
        bool operator==(const Policy&) const = default;
    };
    [[nodiscard]] Policy policy(grouping::GroupId group) const;
    [[nodiscard]] Policy policy(const base::CpuList& effective, bool spread) const;
    using Adopt = void (Memset::*)(std::span<const NestedLists::Changed>);
    base::Result<> assign(grouping::GroupId group, std::string_view attribute, const Value& value,
                          Adopt adopt);
    void follow(std::span<const NestedLists::Changed> changed);
    void leave_alone(std::span<const NestedLists::Changed>) {}
    void migrate(processes::Process& process, grouping::GroupId group, const base::CpuList& from);
    void left_behind(processes::Process& process, const Policy& had, grouping::GroupId group);

    Host& host_;
    NestedLists lists_;
    std::map<grouping::GroupId, bool> spread_;
    std::map<grouping::GroupId, bool> migrate_;
    base::CpuList machine_;
    // What processes have whose policy is not their group's; those of a predecessor only have the flag.
    std::map<base::ProcessId, Policy> had_;
};

}  // namespace gpcsup::controllers
