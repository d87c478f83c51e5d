#pragma once
// What has to be done so that the live forest becomes what is declared now: the plan of `gpcsup apply`. Pure.
//
// Three trees are compared: what was declared before, what is declared now, and what there is. What is
// declared now is made so; what was declared before and is no more is taken away; what was made at run time
// and was never declared stays as it is. Declared is also what a group inherits from one above it (making.h).

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "grouping/making.h"

namespace gpcsup::grouping {

enum class TreeAction {  // in the order in which steps are taken
    remove_group,
    remove_hierarchy,
    change_compat,        // none: it is refused, and here to be told of
    release_controllers,  // a hierarchy gives away what another one gets
    rebind_hierarchy,
    create_hierarchy,
    create_group,
    set,
};
[[nodiscard]] std::string_view name_of(TreeAction action);

struct SettingChange {
    std::string name;
    std::string from;
    std::string to;
    bool operator==(const SettingChange&) const = default;
};

struct TreeStep {
    TreeAction action = TreeAction::set;
    std::string hierarchy;
    std::string path;                      // of groups
    std::vector<std::string> controllers;  // of hierarchies: those it will have
    Compat compat = Compat::none;          // the same
    std::vector<SettingChange> changes;    // of set
    std::string location;                  // where it is declared; empty for what is taken away

    [[nodiscard]] std::string what() const;    // "tenant:/acme", "tenant"
    [[nodiscard]] std::string detail() const;  // "numtasks.limit: 64 → 128"; for people
};

// In LIVE every group is listed. The steps come to the same tree as those from nothing do (the boot), but for
// what was made or set at run time and is not declared: all groups are made before any is set, so each
// setting that a group would not have by then is a step of its own. A step that is refused may be taken after
// the others.
[[nodiscard]] std::vector<TreeStep> plan_tree(const DeclaredTree& previous, const DeclaredTree& next,
                                              const DeclaredTree& live, const Making& making);

struct TreeBlocker {
    std::string what;
    std::string message;
    std::string location;
    bool operator==(const TreeBlocker&) const = default;
};

// How many processes, and threads apart from theirs, are in the very group.
struct Occupants {
    std::size_t processes = 0;
    std::size_t threads = 0;
};
using OccupantsOf = std::function<Occupants(const std::string& hierarchy, const std::string& path)>;

// The steps that the forest would refuse: found before the first one is taken.
[[nodiscard]] std::vector<TreeBlocker> blockers_of(const std::vector<TreeStep>& steps,
                                                   const DeclaredTree& live, const OccupantsOf& occupants_of);

}  // namespace gpcsup::grouping
