#pragma once
// What a hierarchy, a group and a path to it may be called. Pure text: it looks nothing up.

#include <string_view>
#include <vector>

#include "base/result.h"

namespace gpcsup::grouping {

inline constexpr std::size_t max_component =
    255;  // bytes, as NAME_MAX: a group may be shown as a directory one day
inline constexpr std::size_t max_hierarchy_name = 63;  // as named hierarchies of the kernel

// EINVAL (ENAMETOOLONG when too long) with the rule that was broken.
base::Result<> check_hierarchy_name(std::string_view name);
base::Result<> check_group_name(std::string_view name);

// "/a/b" → {"a", "b"}; "/" → {}. One final '/' is tolerated, everything else that is not canonical is
// refused.
base::Result<std::vector<std::string_view>> split_path(std::string_view path);

struct Address {  // the two halves of "HIERARCHY:/a/b"
    std::string_view hierarchy;
    std::string_view path;
};
base::Result<Address> split_address(std::string_view text);

}  // namespace gpcsup::grouping
