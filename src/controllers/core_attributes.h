#pragma once
// The attributes that every group has, whatever is bound to its hierarchy: `group.*`. Declared like a
// controller's, so that they appear wherever controllers' attributes do.

#include <span>

#include "controllers/attribute.h"
#include "grouping/forest.h"

namespace gpcsup::controllers {

inline constexpr std::string_view core_name = "group";

[[nodiscard]] std::span<const Attribute> core_attributes();
base::Result<Value> get_core(const grouping::Forest& forest, grouping::GroupId group,
                             std::string_view attribute);
base::Result<> set_core(grouping::Forest& forest, grouping::GroupId group, std::string_view attribute,
                        const Value& value);

// What a new group has of its parent's.
void inherit_core(grouping::Forest& forest, grouping::GroupId group);

}  // namespace gpcsup::controllers
