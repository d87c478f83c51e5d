#pragma once
// Memory for what is made in small pieces and stays: the nodes of maps that have a row for each group, each
// combination of groups, each service. On the common heap such pieces come to lie between those that only a
// start needs, and when these are gone no page of them is free as a whole: a third of the heap was such
// holes. One thread only, as gpcsupd has.

#include <memory_resource>

namespace gpcsup::base {

// Never null, and there until the program ends.
[[nodiscard]] std::pmr::memory_resource* lasting_memory();

}  // namespace gpcsup::base
