#pragma once
// Where a unit's processes belong: its group in the hierarchy `unit`, the groups of [place], and groups of
// its own below those for [limits]. Makes what is missing of its own groups; groups of [place] must exist.

#include "grouping/forest.h"
#include "supervisor/groups.h"
#include "units/declaration.h"

namespace gpcsup::supervisor {

class Placing {
  public:
    Placing(grouping::Forest& forest, Groups& groups) : forest_(forest), groups_(groups) {}

    // The unit's places, with its own groups made and its limits set. ENOENT names the place that does not
    // exist.
    base::Result<grouping::Places> prepare(const units::Declaration& unit);
    // The places of a unit that has been prepared before, as its groups are now; roots where one has gone
    // meanwhile.
    [[nodiscard]] grouping::Places existing(const units::Declaration& unit) const;
    // The same without making or setting anything, for showing: as it is, or would be.
    [[nodiscard]] std::map<std::string, std::string> shown(const units::Declaration& unit) const;
    // The unit whose group in `unit` this is, or an empty name.
    [[nodiscard]] std::string unit_of(grouping::GroupId group_in_unit_hierarchy) const;
    [[nodiscard]] std::optional<grouping::GroupId> group_of(std::string_view unit) const;

    static constexpr grouping::HierarchyId unit_hierarchy{0};

  private:
    base::Result<grouping::Places> declared(const units::Declaration& unit) const;
    base::Result<grouping::HierarchyId> hierarchy_of_limit(const units::Setting& limit) const;

    grouping::Forest& forest_;
    Groups& groups_;
};

}  // namespace gpcsup::supervisor
