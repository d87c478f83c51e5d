#pragma once
// The declared tree and the placement rules, to JSON for the journal and back.

#include "grouping/declared.h"
#include "grouping/rules.h"
#include "supervisor/chronicle.h"

namespace gpcsup::supervisor {

[[nodiscard]] Json to_json(const grouping::DeclaredTree& tree);
[[nodiscard]] Json to_json(const std::vector<grouping::Rule>& rules);
// EPROTO when it is not what the above wrote.
base::Result<grouping::DeclaredTree> tree_from_json(const Json& json);
base::Result<std::vector<grouping::Rule>> rules_from_json(const Json& json);

}  // namespace gpcsup::supervisor
