#pragma once
// Tells when a group becomes populated and when it becomes empty, for each group on the chain. What has been
// told stands in the journal, so a successor tells what changed while nobody looked. The groups of the
// hierarchy `unit` are left out: the events of units say the same.

#include <map>
#include <vector>

#include "grouping/forest.h"
#include "journal/journal.h"
#include "supervisor/chronicle.h"

namespace gpcsup::supervisor {

class GroupEvents {
  public:
    GroupEvents(grouping::Forest& forest, Chronicle& chronicle) : forest_(forest), chronicle_(chronicle) {}

    void restore(const journal::States& states);
    // After recovery: every group against what had been told of it. Returns those that are empty now.
    std::vector<grouping::GroupId> compare_all();
    // It was filled, or emptied, or both since it was last told of: what it is now is told, after the other
    // where that is what had been told last.
    void flipped(grouping::GroupId group);

  private:
    void tell_populated(grouping::GroupId group);
    void tell_empty(grouping::GroupId group);
    [[nodiscard]] const grouping::Group* watched(grouping::GroupId group) const;

    grouping::Forest& forest_;
    Chronicle& chronicle_;
    std::map<grouping::GroupId, std::string> told_populated_;  // with the path it had then
};

}  // namespace gpcsup::supervisor
