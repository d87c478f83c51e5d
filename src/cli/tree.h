#pragma once
// Drawing trees: of groups, and of processes by their parents. Pure.

#include <string>
#include <vector>

#include "cli/json.h"
#include "cli/look.h"

namespace gpcsup::cli {

struct Branch {
    std::string label;
    std::vector<Branch> children;
};

// A line a branch, with ├─ and └─ in front; at most MOST lines (0 = all), then "… and N more". Lines are cut
// to WIDTH.
std::vector<std::string> draw(const std::vector<Branch>& branches, const Look& look, std::size_t width,
                              std::size_t most);

// The "processes" of an answer (pid, ppid, command) as trees; whose parent is not among them is a root.
std::vector<Branch> process_branches(const Json& processes);

}  // namespace gpcsup::cli
