#pragma once
// Numbers of the grouping core. A GroupId is unique over all hierarchies and not used again by this gpcsupd;
// a successor goes on behind the highest that is left. 0 means none.

#include <array>

#include "base/strong_id.h"

namespace gpcsup::grouping {

using HierarchyId = base::StrongId<struct HierarchyTag>;  // slot 0…max_hierarchies-1; slot 0 is always `unit`
using GroupId = base::StrongId<struct GroupTag>;          // 0 = none
using MembershipId = base::StrongId<struct MembershipTag>;  // row of the interned memberships; 0 = every root

inline constexpr unsigned max_hierarchies = 16;
inline constexpr unsigned max_depth = 32;

// One group for each hierarchy slot; slots without a hierarchy hold GroupId{0}.
using Places = std::array<GroupId, max_hierarchies>;

}  // namespace gpcsup::grouping
