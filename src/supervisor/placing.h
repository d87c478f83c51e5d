#pragma once
// Where a unit's processes belong: its group in the hierarchy `unit`, the groups of [place], where that is
// silent those of the placement rules, and groups of its own below those for [limits]. Makes what is missing
// of its own groups and of the rules'; groups of [place] must exist.

#include "grouping/forest.h"
#include "processes/process.h"
#include "supervisor/groups.h"
#include "supervisor/rule_book.h"
#include "units/declaration.h"

namespace gpcsup::supervisor {

class Placing {
  public:
    Placing(grouping::Forest& forest, Groups& groups, RuleBook& rules, Chronicle& chronicle);
    void restore(const journal::States& states);  // what rules said at the last start of each unit

    // ENOENT names the first place that does not exist, and what to type. Nothing is made.
    [[nodiscard]] base::Result<> check_places(const units::Declaration& unit) const;
    // The unit's places, with its own groups made and its limits set. ENOENT names the place that does not
    // exist. What rules say is asked now, for this `executable`, and written down for `existing`.
    base::Result<grouping::Places> prepare(const units::Declaration& unit, const std::string& executable);
    // Takes away what `prepare` made for a start that came to nothing: no process came, so none will leave it
    // empty.
    void withdraw(const units::Declaration& unit);
    // The places of a unit that has been prepared before, as its groups are now; roots where one has gone
    // meanwhile.
    [[nodiscard]] grouping::Places existing(const units::Declaration& unit) const;
    // Hierarchy → path where its processes are, or would be after a start: also those of groups that there
    // are not (yet).
    [[nodiscard]] std::map<std::string, std::string> paths_of(const units::Declaration& unit) const;
    // Writes down in a process of the unit why it is where it is.
    void mark(const units::Declaration& unit, processes::Process& process) const;
    void forget(const std::string& unit);
    // The unit whose group in `unit` this is, or an empty name.
    [[nodiscard]] std::string unit_of(grouping::GroupId group_in_unit_hierarchy) const;
    [[nodiscard]] std::optional<grouping::GroupId> group_of(std::string_view unit) const;

    static constexpr grouping::HierarchyId unit_hierarchy{0};

  private:
    struct Ruled {  // by the rule of this mark
        std::string path;
        grouping::RuleMark mark = grouping::placed_by_nobody;
        bool operator==(const Ruled&) const = default;
    };
    using RuledPlaces = std::map<std::string, Ruled>;  // by hierarchy

    [[nodiscard]] base::Result<grouping::GroupId> named(const std::string& address) const;
    base::Result<grouping::Places> declared(const units::Declaration& unit) const;
    base::Result<> rule(const units::Declaration& unit, const std::string& executable,
                        grouping::Places& places);
    void remember(const std::string& unit, RuledPlaces ruled);
    void write(const std::string& unit, const RuledPlaces& ruled);
    [[nodiscard]] bool is_placed(const units::Declaration& unit, const grouping::Hierarchy& hierarchy) const;
    base::Result<grouping::HierarchyId> hierarchy_of_limit(const units::Setting& limit) const;

    grouping::Forest& forest_;
    Groups& groups_;
    RuleBook& rules_;
    Chronicle& chronicle_;
    std::map<std::string, RuledPlaces, std::less<>> ruled_;  // by unit; of its last start
};

}  // namespace gpcsup::supervisor
