#include "controllers/nested_lists.h"

#include <cerrno>
#include <utility>

namespace gpcsup::controllers {

using base::CpuList;
using grouping::GroupId;

// "node 3", "nodes 3-5": what of them is the matter.
std::string NestedLists::named(const CpuList& numbers) const {
    return std::string(numbers.count() == 1 ? words_.one : words_.many) + " " + numbers.format();
}

NestedLists::Wish NestedLists::wish(GroupId group) const {
    return states_.at(group).own;
}

const CpuList& NestedLists::effective(GroupId group) const {
    return states_.at(group).effective;
}

bool NestedLists::is_restricted(GroupId group) const {
    const auto found = states_.find(group);
    return found != states_.end() && found->second.effective != states_.at(root_).effective;
}

CpuList NestedLists::allowed(GroupId group) const {
    for (auto at = states_.find(group); at != states_.end(); at = states_.find(at->second.parent)) {
        if (at->first == root_) {
            return at->second.effective;
        }
        if (!at->second.own.asked.empty() || empty_ == EmptyList::has_nothing) {
            return at->second.own.asked;
        }
    }
    return {};
}

CpuList NestedLists::taken_below(const State& parent) const {
    CpuList taken;
    for (const GroupId child : parent.children) {
        const State& state = states_.at(child);
        if (state.own.exclusive) {
            taken = taken.unite(state.own.asked);
        }
    }
    return taken;
}

CpuList NestedLists::effective_of(const State& state, const State& parent, const CpuList& taken) {
    const CpuList& asked = state.own.asked;
    const CpuList wanted =
        asked.empty() ? parent.effective.subtract(taken) : asked.intersect(parent.effective);
    return wanted.empty() ? parent.effective : wanted;
}

void NestedLists::create(GroupId group, GroupId parent, const CpuList& machine, EmptyList empty) {
    State& state = states_[group];
    state = State{};
    state.parent = parent;
    const auto above = states_.find(parent);
    if (above != states_.end()) {
        state.effective = effective_of(state, above->second, taken_below(above->second));
        above->second.children.push_back(group);
    } else {
        root_ = group;
        empty_ = empty;
        state.effective = machine;
        state.own.exclusive = true;  // as in the kernel: else nothing could be
    }
}

std::vector<NestedLists::Changed> NestedLists::destroy(GroupId group) {
    const auto found = states_.find(group);
    if (found == states_.end()) {
        return {};
    }
    const bool gives_back = found->second.own.exclusive && !found->second.own.asked.empty();
    if (const auto above = states_.find(found->second.parent); above != states_.end()) {
        std::erase(above->second.children, group);
    }
    states_.erase(found);
    return gives_back ? derive() : std::vector<Changed>{};
}

base::Result<> NestedLists::check_parent(GroupId group, const State& state, const Wish& wish) const {
    const CpuList above = allowed(state.parent);
    const CpuList outside = wish.asked.subtract(above);
    if (!outside.empty()) {
        const bool some_exist = !wish.asked.intersect(states_.at(root_).effective).empty();
        return base::refuse(some_exist ? EACCES : EINVAL,
                            std::string(words_.list) + " of " + path_(group) + ": " + named(outside) +
                                (outside.count() == 1 ? " is" : " are") + " not in its parent " +
                                path_(state.parent) + " (" + above.format() + ")",
                            state.parent == root_
                                ? std::string(words_.machine)
                                : "a group's " + std::string(words_.many) + " are a part of its parent's");
    }
    if (wish.exclusive && !states_.at(state.parent).own.exclusive) {
        return base::refuse(EACCES,
                            std::string(words_.flag) + " of " + path_(group) + ": its parent " +
                                path_(state.parent) + " is not exclusive",
                            "set it there first");
    }
    return {};
}

// Children that asked for some keep them; one that inherits passes the question on to its own children.
base::Result<> NestedLists::check_children(GroupId group, const CpuList& numbers) const {
    std::vector<GroupId> waiting = states_.at(group).children;
    while (!waiting.empty()) {
        const GroupId child = waiting.back();
        waiting.pop_back();
        const State& state = states_.at(child);
        const CpuList lost = state.own.asked.subtract(numbers);
        if (!lost.empty()) {
            return base::refuse(EBUSY,
                                std::string(words_.list) + " of " + path_(group) + ": " + path_(child) +
                                    " still has " + named(lost),
                                "change the groups below first");
        }
        if (state.own.asked.empty()) {
            waiting.insert(waiting.end(), state.children.begin(), state.children.end());
        }
    }
    return {};
}

base::Result<> NestedLists::check_exclusive(GroupId group, const State& state, const Wish& wish) const {
    for (const GroupId child : state.children) {
        if (!wish.exclusive && states_.at(child).own.exclusive) {
            return base::refuse(EBUSY,
                                std::string(words_.flag) + " of " + path_(group) + ": its child " +
                                    path_(child) + " is exclusive",
                                "change the groups below first");
        }
    }
    for (const GroupId sibling : states_.at(state.parent).children) {
        const Wish& other = states_.at(sibling).own;
        const CpuList shared = wish.asked.intersect(other.asked);
        if (sibling != group && (wish.exclusive || other.exclusive) && !shared.empty()) {
            return base::refuse(EINVAL, std::string(words_.list) + " of " + path_(group) + ": " +
                                            named(shared) + " would be shared with " + path_(sibling) +
                                            ", and " + path_(wish.exclusive ? group : sibling) +
                                            " is exclusive");
        }
    }
    return {};
}

base::Result<> NestedLists::check(GroupId group, const Wish& wish) const {
    const auto found = states_.find(group);
    if (found == states_.end()) {
        return base::refuse(ENOENT, "there is no such group");
    }
    if (group == root_) {
        return base::refuse(
            EACCES, std::string(words_.list) + " of " + path_(group) + " is the machine's and cannot be set",
            "make a group below it");
    }
    if (auto agreed = check_parent(group, found->second, wish); !agreed) {
        return agreed;
    }
    const bool inherits = wish.asked.empty() && empty_ == EmptyList::inherits;
    if (auto agreed = check_children(group, inherits ? allowed(found->second.parent) : wish.asked); !agreed) {
        return agreed;
    }
    return check_exclusive(group, found->second, wish);
}

std::vector<NestedLists::Changed> NestedLists::set(GroupId group, const Wish& wish) {
    states_.at(group).own = wish;
    return derive();
}

std::vector<NestedLists::Changed> NestedLists::set_machine(const CpuList& machine) {
    const auto root = states_.find(root_);
    if (root == states_.end()) {
        return {};
    }
    root->second.effective = machine;
    return derive();
}

// Brings `effective` up to date from the root down.
std::vector<NestedLists::Changed> NestedLists::derive() {
    std::vector<Changed> changed;
    std::vector<GroupId> waiting{root_};
    while (!waiting.empty()) {
        const State& parent = states_.at(waiting.back());
        waiting.pop_back();
        const CpuList taken = taken_below(parent);
        for (const GroupId child : parent.children) {
            State& state = states_.at(child);
            CpuList effective = effective_of(state, parent, taken);
            if (effective != state.effective) {
                changed.push_back({child, std::exchange(state.effective, std::move(effective))});
            }
            waiting.push_back(child);
        }
    }
    return changed;
}

}  // namespace gpcsup::controllers
