#pragma once
// The forest as it is, written down as gpcsup.toml would: for `gpcsup snapshot` and for the plan of `apply`.

#include <string>
#include <vector>

#include "controllers/dispatcher.h"
#include "grouping/making.h"
#include "grouping/rules.h"

namespace gpcsup::supervisor {

// How the attributes that exist come to new groups.
[[nodiscard]] const grouping::Making& making_of_groups();

// Every group of every hierarchy but `unit`, as a declaration would say it: with what its making would not
// give anyway.
[[nodiscard]] grouping::DeclaredTree live_tree(const grouping::Forest& forest,
                                               const controllers::ControllerSet& controllers);

// The TOML that would make it. Groups that go when they are empty (units' own, and those that rules make) are
// left out, with a comment: who needs them makes them again.
[[nodiscard]] std::string snapshot(const grouping::Forest& forest,
                                   const controllers::ControllerSet& controllers,
                                   const std::vector<grouping::Rule>& rules);

}  // namespace gpcsup::supervisor
