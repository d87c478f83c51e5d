#pragma once
// The journal's records of a group: its settings, and what its own has beside its place and name: the
// attributes that every group has. Only those that are not the default are written. Those that were set are
// among the group's settings as well; the others it has from its parent of the moment when it was made.

#include <span>
#include <vector>

#include "controllers/dispatcher.h"
#include "grouping/forest.h"
#include "supervisor/chronicle.h"

namespace gpcsup::supervisor {

void add_attributes(const grouping::Group& group, Json& record);
void restore_attributes(grouping::Group& group, const Json& record);

[[nodiscard]] Json settings_record(std::span<const controllers::SettingText> settings);
[[nodiscard]] std::vector<controllers::SettingText> settings_in(const Json& record);

// Controller → why.
[[nodiscard]] Json holders_of(const grouping::Group& group);

}  // namespace gpcsup::supervisor
