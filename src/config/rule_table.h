#pragma once
// [[rule]] of gpcsup.toml, read into placement rules (grouping/rules.h). No file is opened in here.

#include <string_view>
#include <vector>

#include "base/accounts.h"
#include "config/document.h"
#include "config/located.h"
#include "grouping/rules.h"

namespace gpcsup::config {

inline constexpr std::size_t most_rules = 1000;  // each exec of a process is held against all of them

struct RuleTable {
    std::vector<grouping::Rule> rules;
    std::vector<Located> problems;  // what they are about is left out, but for unknown accounts
};

// KNOWN: the names that `place` may use, hierarchies and controllers. ACCOUNTS may be null: then names of
// users and groups are not looked up. A name that is in no local file is a problem, and the rule stays: it
// still matches units that say the same name.
RuleTable read_rules(const Node& list, const std::vector<std::string_view>& known,
                     const base::Accounts* accounts);

}  // namespace gpcsup::config
