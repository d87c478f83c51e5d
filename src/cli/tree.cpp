#include "cli/tree.h"

#include <map>
#include <set>

#include "cli/text.h"

namespace gpcsup::cli {

namespace {

struct Step {  // of a walk without recursion: a chain of processes can be thousands deep
    const Branch* branch;
    std::string prefix;
    enum class Place { middle, last } place;
};

void push_children(std::vector<Step>& walk, const std::vector<Branch>& branches, const std::string& prefix) {
    for (std::size_t i = branches.size(); i > 0; --i) {
        walk.push_back(
            {&branches[i - 1], prefix, i == branches.size() ? Step::Place::last : Step::Place::middle});
    }
}

}  // namespace

std::vector<std::string> draw(const std::vector<Branch>& branches, const Look& look, std::size_t width,
                              std::size_t most) {
    const bool unicode = look.glyphs == Glyphs::unicode;
    std::vector<std::string> lines;
    std::size_t left_out = 0;
    std::vector<Step> walk;
    push_children(walk, branches, "");
    while (!walk.empty()) {
        const Step step = walk.back();
        walk.pop_back();
        const bool last = step.place == Step::Place::last;
        if (most > 0 && lines.size() >= most) {
            ++left_out;
        } else {
            const char* joint = unicode ? (last ? "└─ " : "├─ ") : (last ? "`- " : "|- ");
            const std::string front = step.prefix + joint;
            const std::size_t used = columns(front);
            const std::string label = width == 0 || columns(step.branch->label) + used <= width ||
                                              step.branch->label.find('\x1b') != std::string::npos
                                          ? step.branch->label
                                          : cut(step.branch->label, width > used + 8 ? width - used : 8);
            lines.push_back(front + label);
        }
        push_children(walk, step.branch->children, step.prefix + (last ? "   " : unicode ? "│  " : "|  "));
    }
    if (left_out > 0) {
        lines.push_back((unicode ? "… and " : "... and ") + std::to_string(left_out) + " more");
    }
    return lines;
}

std::vector<Branch> process_branches(const Json& processes) {
    std::map<std::int64_t, std::vector<const Json*>> children;
    std::set<std::int64_t> present;
    for (const Json& process : processes) {
        present.insert(number_of(process, "pid").value_or(0));
    }
    for (const Json& process : processes) {
        const std::int64_t pid = number_of(process, "pid").value_or(0);
        const std::int64_t parent = number_of(process, "ppid").value_or(0);
        children[present.contains(parent) && parent != pid ? parent : 0].push_back(&process);
    }
    // Built from the leaves up would need an order; a second walk with a stack of (process, where to) is
    // simpler.
    std::vector<Branch> roots;
    std::vector<std::pair<std::int64_t, std::vector<Branch>*>> walk{{0, &roots}};
    std::set<std::int64_t> seen{0};
    while (!walk.empty()) {
        const auto [parent, into] = walk.back();
        walk.pop_back();
        const auto found = children.find(parent);
        if (found == children.end()) {
            continue;
        }
        into->reserve(found->second.size());  // the pointers below stay good
        for (const Json* process : found->second) {
            const std::int64_t pid = number_of(*process, "pid").value_or(0);
            if (!seen.insert(pid).second) {
                continue;
            }
            into->push_back({std::to_string(pid) + " " + text_of(*process, "command"), {}});
            walk.emplace_back(pid, &into->back().children);
        }
    }
    return roots;
}

}  // namespace gpcsup::cli
