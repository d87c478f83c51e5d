#pragma once
// What an empty list of CPUs or nodes is. Today it is the parent's; in 2006 it was nothing at all, so that
// nobody could be in such a group and nothing could be asked for below it. One place for both controllers of
// lists.

#include <cerrno>
#include <string>
#include <string_view>

#include "base/cpu_list.h"
#include "grouping/forest.h"

namespace gpcsup::controllers {

enum class EmptyList : std::uint8_t { inherits, has_nothing };

[[nodiscard]] inline EmptyList empty_list_of(const grouping::Forest& forest, grouping::GroupId group) {
    return forest.compat_of(group) == grouping::Compat::year_2006 ? EmptyList::has_nothing
                                                                  : EmptyList::inherits;
}

// ENOSPC where nobody can be. `list`: "cpuset.cpus".
[[nodiscard]] inline base::Result<> check_room_in(const grouping::Forest& forest, grouping::GroupId group,
                                                  std::string_view list, const base::CpuList& asked) {
    const grouping::Group* at = forest.group(group);
    if (at == nullptr || at->parent.value == 0 || !asked.empty() ||
        empty_list_of(forest, group) == EmptyList::inherits) {
        return {};
    }
    return base::refuse(ENOSPC,
                        std::string(list) + " of " + forest.full_path(group) +
                            " is empty: with compat = \"2006\" nobody can be in it",
                        "set it first, or group.clone_children above");
}

// ENOSPC where somebody is.
[[nodiscard]] inline base::Result<> check_emptying(const grouping::Forest& forest, grouping::GroupId group,
                                                   std::string_view list, const base::CpuList& wanted) {
    const grouping::Group* at = forest.group(group);
    if (at == nullptr || at->processes + at->threads == 0 || check_room_in(forest, group, list, wanted)) {
        return {};
    }
    return base::refuse(ENOSPC, std::string(list) + " of " + forest.full_path(group) +
                                    " cannot be empty with compat = \"2006\": there are processes in it");
}

}  // namespace gpcsup::controllers
