// The hierarchies, and finding things in them. Groups are in forest_groups.cpp, memberships in
// forest_memberships.cpp.

#include "grouping/forest.h"

#include <algorithm>
#include <cerrno>

#include "base/suggestion.h"
#include "grouping/names.h"

namespace gpcsup::grouping {

namespace {

constexpr std::string_view built_in = "unit";

std::string did_you_mean(std::string_view word, std::span<const std::string_view> known) {
    const auto near = base::nearest(word, known);
    return near ? "did you mean '" + std::string(*near) + "'?" : std::string();
}

bool same_set(std::span<const std::string> left, std::span<const std::string> right) {
    return left.size() == right.size() && std::is_permutation(left.begin(), left.end(), right.begin());
}

std::string other_compat(const Hierarchy& existing) {
    return "hierarchy " + existing.name + " exists " +
           (existing.compat == Compat::none
                ? "without compat"
                : "with compat \"" + std::string(name_of(existing.compat)) + "\"") +
           ", and the rules by which its groups count cannot be changed";
}

}  // namespace

Forest::Forest() {
    open_hierarchy(Hierarchy{HierarchyId{0}, std::string(built_in), {}, GroupId{next_group_++}});
    static_cast<void>(intern(Places{}));  // membership 0: every root
    unclaimed_.clear();
    rows_[0].claims = 0;
}

void Forest::open_hierarchy(Hierarchy hierarchy) {
    const HierarchyId id = hierarchy.id;
    const GroupId root = hierarchy.root;
    hierarchies_[id.value] = std::move(hierarchy);
    insert_group(root, GroupId{}, id, "");
    set_slot_of_rows(id, root);
}

base::Result<> Forest::check_controllers(std::span<const std::string> controllers,
                                         const Hierarchy* except) const {
    for (auto each = controllers.begin(); each != controllers.end(); ++each) {
        if (std::find(controllers.begin(), each, *each) != each) {
            return base::refuse(EINVAL, "controller " + *each + " is named twice");
        }
        for (const Hierarchy* other : hierarchies()) {
            if (other != except && std::ranges::find(other->controllers, *each) != other->controllers.end()) {
                return base::refuse(
                    EBUSY, "controller " + *each + " is bound to hierarchy " + other->name + " already",
                    "a controller can be in one hierarchy only");
            }
        }
    }
    return {};
}

base::Result<HierarchyId> Forest::create_hierarchy(std::string_view name,
                                                   std::span<const std::string> controllers, Compat compat) {
    if (auto valid = check_hierarchy_name(name); !valid) {
        return base::pass(valid);
    }
    for (const Hierarchy* existing : hierarchies()) {
        if (existing->name == name && existing->compat != compat) {
            return base::refuse(EBUSY, other_compat(*existing), "remove it and make it anew");
        }
        if (existing->name == name) {
            if (same_set(existing->controllers, controllers)) {
                return existing->id;
            }
            return base::refuse(EBUSY, "hierarchy " + existing->name + " exists with other controllers",
                                "change them with 'gpcsup hierarchy rebind'");
        }
    }
    if (auto free = check_controllers(controllers, nullptr); !free) {
        return base::pass(free);
    }
    const auto slot = std::ranges::find_if(hierarchies_, [](const auto& each) { return !each.has_value(); });
    if (slot == hierarchies_.end()) {
        return base::refuse(ENOSPC, "cannot create hierarchy " + std::string(name) + ": there are " +
                                        std::to_string(max_hierarchies) + " already");
    }
    const HierarchyId id{static_cast<std::uint32_t>(slot - hierarchies_.begin())};
    open_hierarchy(Hierarchy{
        id, std::string(name), {controllers.begin(), controllers.end()}, GroupId{next_group_++}, compat});
    return id;
}

base::Result<> Forest::restore_hierarchy(const Hierarchy& recorded) {
    if (recorded.id.value >= max_hierarchies || recorded.root.value == 0) {
        return base::fail(EINVAL, "restore the hierarchy", recorded.name);
    }
    if (auto valid = check_hierarchy_name(recorded.name); !valid) {
        return base::pass(valid);
    }
    auto& slot = hierarchies_[recorded.id.value];
    if (auto free = check_controllers(recorded.controllers, slot ? &*slot : nullptr); !free) {
        return base::pass(free);
    }
    if (slot && (slot->name != recorded.name || group_count(slot->id) != 1)) {
        return base::fail(EEXIST, "restore the hierarchy", recorded.name);
    }
    if (const Group* other = group(recorded.root);
        other != nullptr && !(slot && slot->root == recorded.root)) {
        return base::fail(EEXIST, "restore the root of hierarchy", recorded.name);
    }
    if (slot) {
        erase_group(slot->root);
    }
    next_group_ = std::max(next_group_, recorded.root.value + 1);
    open_hierarchy(recorded);
    return {};
}

base::Result<> Forest::set_controllers(HierarchyId id, std::span<const std::string> controllers) {
    if (hierarchy(id) == nullptr) {
        return base::refuse(ENOENT, "there is no such hierarchy");
    }
    Hierarchy& changed = *hierarchies_[id.value];
    if (auto free = check_controllers(controllers, &changed); !free) {
        return base::pass(free);
    }
    changed.controllers.assign(controllers.begin(), controllers.end());
    return {};
}

base::Result<> Forest::remove_hierarchy(HierarchyId id) {
    const Hierarchy* doomed = hierarchy(id);
    if (doomed == nullptr) {
        return base::refuse(ENOENT, "there is no such hierarchy");
    }
    if (id.value == 0) {
        return base::refuse(EBUSY, "hierarchy unit is built in and stays");
    }
    if (const std::string reason = groups_in_the_way(id); !reason.empty()) {
        return base::refuse(EBUSY, "cannot remove hierarchy " + doomed->name + ": " + reason);
    }
    erase_group(doomed->root);
    hierarchies_[id.value].reset();
    set_slot_of_rows(id, GroupId{});
    return {};
}

const Hierarchy* Forest::hierarchy(HierarchyId id) const {
    return id.value < max_hierarchies && hierarchies_[id.value] ? &*hierarchies_[id.value] : nullptr;
}

const Hierarchy* Forest::find_hierarchy(std::string_view name_or_controller) const {
    const Hierarchy* by_controller = nullptr;
    for (const Hierarchy* each : hierarchies()) {
        if (each->name == name_or_controller) {
            return each;
        }
        if (std::ranges::find(each->controllers, name_or_controller) != each->controllers.end()) {
            by_controller = each;
        }
    }
    return by_controller;
}

std::vector<const Hierarchy*> Forest::hierarchies() const {
    std::vector<const Hierarchy*> result;
    for (const auto& slot : hierarchies_) {
        if (slot) {
            result.push_back(&*slot);
        }
    }
    return result;
}

base::Result<GroupId> Forest::resolve(std::string_view text) const {
    auto address = split_address(text);
    if (!address) {
        return base::pass(address);
    }
    const Hierarchy* in = find_hierarchy(address->hierarchy);
    if (in == nullptr) {
        if (std::ranges::find(unbound_, address->hierarchy) != unbound_.end()) {
            return base::refuse(EINVAL,
                                "controller " + std::string(address->hierarchy) +
                                    " is unbound and has no groups: it accounts everything in one place",
                                "bind it with gpcsup hierarchy create or rebind");
        }
        std::vector<std::string_view> known(unbound_.begin(), unbound_.end());
        for (const Hierarchy* each : hierarchies()) {
            known.push_back(each->name);
            known.insert(known.end(), each->controllers.begin(), each->controllers.end());
        }
        return base::refuse(
            ENOENT, "there is no hierarchy or bound controller '" + std::string(address->hierarchy) + "'",
            did_you_mean(address->hierarchy, known));
    }
    auto walked = walk(in->id, address->path);
    if (!walked) {
        return base::pass(walked);
    }
    const GroupId at = walked->reached;
    if (walked->missing.empty()) {
        return at;
    }
    const std::string_view component = walked->missing.front();
    std::vector<std::string_view> known;
    for (const GroupId sibling : groups_.at(at).children) {
        if (!groups_.at(sibling).dying) {
            known.push_back(groups_.at(sibling).name);
        }
    }
    const std::string missing = full_path(at) + (at == in->root ? "" : "/") + std::string(component);
    return base::refuse(ENOENT, "there is no group " + missing, did_you_mean(component, known));
}

base::Result<Forest::Walk> Forest::walk(HierarchyId id, std::string_view path) const {
    const Hierarchy* in = hierarchy(id);
    if (in == nullptr) {
        return base::refuse(ENOENT, "there is no such hierarchy");
    }
    auto components = split_path(path);
    if (!components) {
        return base::pass(components);
    }
    Walk walk{in->root, std::move(*components)};
    auto name = walk.missing.begin();
    while (name != walk.missing.end()) {
        const auto next = child(walk.reached, *name);
        if (!next) {
            break;
        }
        walk.reached = *next;
        ++name;
    }
    walk.missing.erase(walk.missing.begin(), name);
    return walk;
}

}  // namespace gpcsup::grouping
