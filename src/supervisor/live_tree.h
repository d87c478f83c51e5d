#pragma once
// The forest as it is, written down as gpcsup.toml would: for `gpcsup snapshot` and for the plan of `apply`.

#include <string>
#include <vector>

#include "controllers/dispatcher.h"
#include "grouping/declared.h"
#include "grouping/rules.h"

namespace gpcsup::supervisor {

// Every group of every hierarchy but `unit`, with its settings that are not the default.
[[nodiscard]] grouping::DeclaredTree live_tree(const grouping::Forest& forest,
                                               const controllers::ControllerSet& controllers);

// The TOML that would make it. Groups that go when they are empty (units' own, and those that rules make) are
// left out, with a comment: who needs them makes them again.
[[nodiscard]] std::string snapshot(const grouping::Forest& forest,
                                   const controllers::ControllerSet& controllers,
                                   const std::vector<grouping::Rule>& rules);

}  // namespace gpcsup::supervisor
