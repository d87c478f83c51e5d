#pragma once
// Which events somebody wants to see. Pure: it looks at the text of one event and says yes or no. Of each
// kind (names, units, groups) one has to agree; a kind of which nothing was named agrees with all.

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace gpcsup::control {

class EventFilter {
  public:
    // EINVAL: there is no such event; did you mean …?
    base::Result<> add_event(std::string_view name);
    base::Result<> add_unit(std::string_view unit);
    // HIERARCHY:PATH, it and all below. EINVAL: not of that form.
    base::Result<> add_group(std::string_view group);

    [[nodiscard]] bool accepts_all() const { return events_.empty() && units_.empty() && groups_.empty(); }
    // LINE: one event as a JSON object. What is not one is nobody's.
    [[nodiscard]] bool accepts(std::string_view line) const;

  private:
    std::vector<std::string> events_;
    std::vector<std::string> units_;
    std::vector<std::string> groups_;  // without a slash at the end, but for the one of a root
};

}  // namespace gpcsup::control
