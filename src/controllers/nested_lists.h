#pragma once
// Lists of CPUs or nodes along a tree of groups: what was asked for is kept apart from what is in force. The
// rules are those of cpuset(7) and no more: nothing in here knows a process or a machine.
//
//   asked(g)      what somebody set; empty = inherit
//   allowed(g)    asked(g), or the parent's allowed when empty: what children must keep to
//   effective(g)  asked(g) ∩ effective(parent); when that is empty (they have gone) the parent's. A group
//   that
//                 asked for nothing gets the parent's without those that a sibling holds exclusively, if any
//                 are left
//   root          what the machine has; it cannot be set

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "base/cpu_list.h"
#include "controllers/empty_list.h"
#include "grouping/ids.h"

namespace gpcsup::controllers {

class NestedLists {
  public:
    struct Words {                 // for its sentences
        std::string_view list;     // "memset.mems"
        std::string_view flag;     // "memset.mem_exclusive"
        std::string_view one;      // "node"
        std::string_view many;     // "nodes"
        std::string_view machine;  // "these are the nodes that have memory"
    };
    struct Wish {  // what a transaction would make of a group
        base::CpuList asked;
        bool exclusive = false;
    };
    struct Changed {
        grouping::GroupId group;
        base::CpuList before;  // effective until now
    };
    using PathOf = std::function<std::string(grouping::GroupId)>;

    NestedLists(const Words& words, PathOf path) : words_(words), path_(std::move(path)) {}

    // Without a parent that is known: the root, with all that the machine has; what `empty` says holds for
    // all below.
    void create(grouping::GroupId group, grouping::GroupId parent, const base::CpuList& machine,
                EmptyList empty = EmptyList::inherits);
    // The groups whose effective list is another now that its exclusive one is free.
    std::vector<Changed> destroy(grouping::GroupId group);

    [[nodiscard]] bool contains(grouping::GroupId group) const { return states_.contains(group); }
    [[nodiscard]] bool is_root(grouping::GroupId group) const { return group == root_; }
    [[nodiscard]] Wish wish(grouping::GroupId group) const;  // as it stands
    [[nodiscard]] const base::CpuList& effective(grouping::GroupId group) const;
    // Whether the group has less than the machine.
    [[nodiscard]] bool is_restricted(grouping::GroupId group) const;

    // EACCES, EBUSY, EINVAL with the rule, the groups and the numbers.
    [[nodiscard]] base::Result<> check(grouping::GroupId group, const Wish& wish) const;
    // Unchecked. The groups whose effective list is another now.
    std::vector<Changed> set(grouping::GroupId group, const Wish& wish);
    std::vector<Changed> set_machine(const base::CpuList& machine);

  private:
    struct State {
        grouping::GroupId parent;
        std::vector<grouping::GroupId> children;
        Wish own;
        base::CpuList effective;
    };
    [[nodiscard]] base::CpuList allowed(grouping::GroupId group) const;
    [[nodiscard]] base::CpuList taken_below(const State& parent) const;  // by exclusive children
    static base::CpuList effective_of(const State& state, const State& parent, const base::CpuList& taken);
    [[nodiscard]] std::string named(const base::CpuList& numbers) const;
    [[nodiscard]] base::Result<> check_parent(grouping::GroupId group, const State& state,
                                              const Wish& wish) const;
    [[nodiscard]] base::Result<> check_children(grouping::GroupId group, const base::CpuList& numbers) const;
    [[nodiscard]] base::Result<> check_exclusive(grouping::GroupId group, const State& state,
                                                 const Wish& wish) const;
    std::vector<Changed> derive();

    Words words_;
    PathOf path_;
    grouping::GroupId root_;
    EmptyList empty_ = EmptyList::inherits;
    std::map<grouping::GroupId, State> states_;
};

}  // namespace gpcsup::controllers
