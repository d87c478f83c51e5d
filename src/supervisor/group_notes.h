#pragma once
// What controllers must know of groups after a restart and is no setting: a text for each controller and
// group, and its record in the journal. Knows neither what it says nor any controller.

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "grouping/forest.h"
#include "journal/journal.h"
#include "supervisor/chronicle.h"

namespace gpcsup::supervisor {

class GroupNotes {
  public:
    explicit GroupNotes(Chronicle& chronicle);
    // After the forest: of groups that are not there any more nothing is left.
    void restore(const journal::States& states, const grouping::Forest& forest);
    void set(grouping::GroupId group, std::string_view controller, std::string_view text);
    void erase(grouping::GroupId group, std::string_view controller);
    [[nodiscard]] std::optional<std::string> find(grouping::GroupId group, std::string_view controller) const;

  private:
    using Name = std::pair<grouping::GroupId, std::string>;
    void write(const Name& name, const std::string& text);

    Chronicle& chronicle_;
    std::map<Name, std::string> notes_;
};

}  // namespace gpcsup::supervisor
