#pragma once
// The placement rules in force, with the names of accounts they need, and what they say about a start or a
// process. It moves nothing. Without rules it does nothing at all.

#include <vector>

#include "grouping/rules.h"
#include "sys/local_accounts.h"
#include "sys/proc_files.h"
#include "units/declaration.h"

namespace gpcsup::supervisor {

class RuleBook {
  public:
    void take(std::vector<grouping::Rule> rules);
    [[nodiscard]] bool empty() const { return rules_.empty(); }
    [[nodiscard]] const std::vector<grouping::Rule>& rules() const { return rules_; }
    [[nodiscard]] grouping::RuleMark mark(std::size_t rule) const { return marks_[rule]; }
    // The rule of a mark, by its index; nothing when it is in force no more.
    [[nodiscard]] std::optional<std::size_t> rule_of(grouping::RuleMark mark) const;

    // What the process of a unit will be, once `executable` has been executed as the unit says.
    [[nodiscard]] grouping::Subject before_start(const units::Declaration& unit,
                                                 const std::string& executable);
    // A process as /proc shows it; ESRCH when it has gone.
    base::Result<grouping::Subject> as_it_is(sys::ProcFiles& files, pid_t pid, std::string unit);
    [[nodiscard]] grouping::RuleChoices choose(const grouping::Subject& subject,
                                               const grouping::Forest& forest) const {
        return grouping::choose(rules_, subject, accounts_, forest);
    }

  private:
    std::vector<grouping::Rule> rules_;
    std::vector<grouping::RuleMark> marks_;
    sys::LocalAccounts accounts_;
};

}  // namespace gpcsup::supervisor
