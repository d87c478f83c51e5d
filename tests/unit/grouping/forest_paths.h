#pragma once
// Groups by their paths in a bare forest, where no controller has to agree.

#include "grouping/forest.h"

namespace gpcsup::tests {

// The group of this path, with the parents that are missing.
inline base::Result<grouping::GroupId> make_path(grouping::Forest& forest, grouping::HierarchyId hierarchy,
                                                 std::string_view path) {
    auto walk = forest.walk(hierarchy, path);
    if (!walk) {
        return base::pass(walk);
    }
    grouping::GroupId at = walk->reached;
    for (const std::string_view name : walk->missing) {
        auto made = forest.create_group(at, name);
        if (!made) {
            return made;
        }
        at = *made;
    }
    return at;
}

}  // namespace gpcsup::tests
