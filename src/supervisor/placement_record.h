#pragma once
// The intent of a placement as the journal has it: what moves alike is recorded together,
// {"moves": [{"slots": [[slot, from, to]…], "processes": [[pid, start]…], "threads": [[pid, start, tid, its
// start]…]}…]}.

#include <span>
#include <vector>

#include "grouping/placement.h"
#include "supervisor/chronicle.h"

namespace gpcsup::supervisor {

[[nodiscard]] Json record_of_moves(std::span<const grouping::Relocation> relocations);
[[nodiscard]] std::vector<grouping::Relocation> moves_of_record(const Json& record);
[[nodiscard]] bool moves_alike(const grouping::Relocation& one, const grouping::Relocation& other);

}  // namespace gpcsup::supervisor
