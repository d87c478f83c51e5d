// Groups: making, naming, removing, dying.

#include <algorithm>
#include <cerrno>
#include <functional>
#include <iterator>

#include "grouping/forest.h"
#include "grouping/names.h"

namespace gpcsup::grouping {

namespace {

constexpr std::size_t most_named = 8;  // children or processes that a busy error lists

std::string plural(std::size_t count, std::string_view one, std::string_view many) {
    return std::to_string(count) + " " + std::string(count == 1 ? one : many);
}

std::string list(const std::vector<std::string>& names, std::size_t total) {
    std::string text;
    for (const std::string& name : names) {
        text += (text.empty() ? "" : ", ") + name;
    }
    return total > names.size() ? text + " and " + std::to_string(total - names.size()) + " more" : text;
}

}  // namespace

const Group* Forest::group(GroupId id) const {
    const auto found = groups_.find(id);
    return found == groups_.end() ? nullptr : &found->second;
}

Group* Forest::group(GroupId id) {
    const auto found = groups_.find(id);
    return found == groups_.end() ? nullptr : &found->second;
}

std::optional<GroupId> Forest::child(GroupId parent, std::string_view name) const {
    const auto found = by_name_.find(ChildOrder::View{parent, name});
    return found == by_name_.end() ? std::nullopt : std::optional(found->second);
}

std::string Forest::path(GroupId id) const {
    std::string text;
    for (const Group* at = group(id); at != nullptr && at->parent.value != 0; at = group(at->parent)) {
        text.insert(0, "/" + at->name);
    }
    return text.empty() ? "/" : text;
}

std::string Forest::full_path(GroupId id) const {
    const Group* at = group(id);
    return at == nullptr ? "(removed group)" : hierarchies_[at->hierarchy.value]->name + ":" + path(id);
}

unsigned Forest::depth(GroupId id) const {
    unsigned levels = 0;
    for (const Group* at = group(id); at != nullptr && at->parent.value != 0; at = group(at->parent)) {
        ++levels;
    }
    return levels;
}

bool Forest::is_within(GroupId id, GroupId ancestor) const {
    for (const Group* at = group(id); at != nullptr; at = group(at->parent)) {
        if (at->id == ancestor) {
            return true;
        }
    }
    return false;
}

Compat Forest::compat_of(GroupId id) const {
    const Group* at = group(id);
    return at == nullptr ? Compat::none : hierarchies_[at->hierarchy.value]->compat;
}

GroupId Forest::counted_above(GroupId id) const {
    const Group* at = group(id);
    return at == nullptr || compat_of(id) == Compat::year_2006 ? GroupId{} : at->parent;
}

bool Forest::counts_in(GroupId charged, GroupId group) const {
    while (charged != group && charged.value != 0) {
        charged = counted_above(charged);
    }
    return charged == group;
}

void Forest::for_each_below(GroupId top, const std::function<void(const Group&)>& visit) const {
    std::vector<GroupId> waiting{top};
    while (!waiting.empty()) {
        const Group* at = group(waiting.back());
        waiting.pop_back();
        if (at != nullptr) {
            waiting.insert(waiting.end(), at->children.rbegin(), at->children.rend());
            visit(*at);
        }
    }
}

void Forest::for_each_living_below(GroupId top, const std::function<void(const Group&)>& visit) const {
    for_each_below(top, [&visit](const Group& group) {
        if (!group.dying) {
            visit(group);
        }
    });
}

std::size_t Forest::group_count(HierarchyId id) const {
    std::size_t count = 0;
    if (const Hierarchy* in = hierarchy(id)) {
        for_each_below(in->root, [&](const Group&) { ++count; });
    }
    return count;
}

void Forest::count_living(GroupId parent, int change) {
    for (Group* at = group(parent); at != nullptr; at = group(at->parent)) {
        at->descendants += static_cast<std::uint32_t>(change);
    }
}

void Forest::insert_group(GroupId id, GroupId parent, HierarchyId hierarchy, std::string_view name,
                          Living living) {
    Group& made = groups_[id];
    made.id = id;
    made.parent = parent;
    made.hierarchy = hierarchy;
    made.name = name;
    made.dying = living == Living::dying;
    if (parent.value != 0) {
        Group& above = groups_[parent];
        above.children.push_back(id);
        made.frozen_effective = above.frozen_effective;
    }
    if (parent.value != 0 && !made.dying) {
        by_name_[ChildKey{parent, std::string(name)}] = id;
        count_living(parent, 1);
    }
}

base::Result<GroupId> Forest::check_new_child(GroupId parent, std::string_view name) const {
    if (auto valid = check_group_name(name); !valid) {
        return base::pass(valid);
    }
    const Group* in = group(parent);
    if (in == nullptr || in->dying) {
        return base::refuse(ENOENT,
                            "cannot create group " + std::string(name) + ": its parent has been removed");
    }
    if (child(parent, name)) {
        return base::refuse(EEXIST, "group " + full_path(*child(parent, name)) + " exists");
    }
    return parent;
}

// The bounds on depth and number, of the machine and of every group above.
base::Result<> Forest::check_room(GroupId parent) const {
    const std::string what = "cannot create a group in " + full_path(parent) + ": ";
    if (depth(parent) >= max_depth) {
        return base::refuse(EAGAIN, what + "groups nest at most " + std::to_string(max_depth) + " levels");
    }
    std::uint64_t level = 0;  // of the new group, below the one that is looked at
    for (const Group* at = group(parent); at != nullptr; at = group(at->parent)) {
        ++level;
        if (at->max_depth && level > *at->max_depth) {
            return base::refuse(EAGAIN,
                                what + full_path(at->id) + " allows " +
                                    plural(*at->max_depth, "level", "levels") + " of groups below it",
                                "see group.max_depth");
        }
        if (at->max_descendants && at->descendants >= *at->max_descendants) {
            return base::refuse(EAGAIN,
                                what + full_path(at->id) + " allows " +
                                    plural(*at->max_descendants, "group", "groups") + " below it and has " +
                                    std::to_string(at->descendants),
                                "see group.max_descendants");
        }
    }
    return {};
}

base::Result<GroupId> Forest::create_group(GroupId parent, std::string_view name) {
    if (auto valid = check_new_child(parent, name); !valid) {
        return base::pass(valid);
    }
    if (auto room = check_room(parent); !room) {
        return base::pass(room);
    }
    const GroupId id{next_group_++};
    insert_group(id, parent, groups_.at(parent).hierarchy, name);
    return id;
}

base::Result<> Forest::restore_group(GroupId id, GroupId parent, std::string_view name) {
    if (id.value == 0 || group(id) != nullptr) {
        return base::fail(EEXIST, "restore the group", name);
    }
    if (auto valid = check_new_child(parent, name); !valid) {
        return base::pass(valid);
    }
    insert_group(id, parent, groups_.at(parent).hierarchy, name);
    next_group_ = std::max(next_group_, id.value + 1);
    return {};
}

base::Result<> Forest::restore_dying(GroupId id, GroupId parent, std::string_view name) {
    if (id.value == 0 || group(id) != nullptr || group(parent) == nullptr) {
        return base::fail(EINVAL, "restore the dying group", name);
    }
    insert_group(id, parent, groups_.at(parent).hierarchy, name, Living::dying);
    next_group_ = std::max(next_group_, id.value + 1);
    return {};
}

void Forest::drop_unheld() {
    std::vector<GroupId> dying;
    for (const auto& [id, each] : groups_) {
        if (each.dying) {
            dying.push_back(id);
        }
    }
    std::ranges::sort(dying, std::greater{});  // children before their parents
    for (const GroupId id : dying) {
        finish_dying(id);
    }
}

base::Result<> Forest::rename_group(GroupId id, std::string_view name) {
    Group* renamed = group(id);
    if (renamed == nullptr || renamed->dying) {
        return base::refuse(ENOENT, "there is no such group");
    }
    if (renamed->parent.value == 0) {
        return base::refuse(EINVAL, "the root of a hierarchy has no name to change");
    }
    if (renamed->name == name) {
        return {};
    }
    if (auto valid = check_new_child(renamed->parent, name); !valid) {
        return base::pass(valid);
    }
    by_name_.erase(ChildKey{renamed->parent, renamed->name});
    renamed->name = name;
    by_name_[ChildKey{renamed->parent, renamed->name}] = id;
    return {};
}

std::string Forest::holders_of(const Group& group) const {
    std::vector<std::string> names;
    names.reserve(group.holders.size());
    for (const auto& [controller, why] : group.holders) {
        names.push_back(std::string(controller).append(" (").append(why).append(")"));
    }
    return names.empty() ? "groups below it are dying" : "it is dying, held by " + list(names, names.size());
}

std::string Forest::busy_reason(GroupId id) const {
    const Group* at = group(id);
    if (at == nullptr) {
        return {};
    }
    std::vector<std::string> names;
    std::size_t children = 0;
    for (const GroupId each : at->children) {
        if (!groups_.at(each).dying && ++children <= most_named) {
            names.push_back(groups_.at(each).name);
        }
    }
    std::string reason;
    if (children > 0) {
        reason = "it has the " + std::string(children == 1 ? "child " : "children ") + list(names, children);
    }
    const auto add = [&](std::uint32_t count, std::string_view one, std::string_view many,
                         const std::vector<std::string>& who) {
        if (count > 0) {
            reason += (reason.empty() ? "" : "; ") + plural(count, one, many) + " in it" +
                      (children > 0 ? " or below" : "") +
                      (who.empty() ? "" : ": " + list(who, std::max<std::size_t>(count, who.size())));
        }
    };
    names.clear();
    if (list_members_ && at->processes_below() > 0) {
        std::ranges::transform(list_members_(id, most_named), std::back_inserter(names),
                               [](int pid) { return std::to_string(pid); });
    }
    add(at->processes_below(), "process is", "processes are", names);
    add(at->threads_below, "thread is", "threads are",
        list_threads_ && at->threads_below > 0 ? list_threads_(id, most_named) : std::vector<std::string>{});
    return reason.empty() && at->dying ? holders_of(*at) : reason;
}

std::string Forest::groups_in_the_way(HierarchyId id) const {
    const Hierarchy* in = hierarchy(id);
    if (in == nullptr || group_count(id) == 1) {
        return {};
    }
    std::vector<std::string> names;
    std::size_t count = 0;
    for (const GroupId child : groups_.at(in->root).children) {
        const Group& each = groups_.at(child);
        if (++count <= most_named) {
            names.push_back(each.dying ? each.name + " (" + holders_of(each) + ")" : each.name);
        }
    }
    return "it has the " + std::string(count == 1 ? "child " : "children ") + list(names, count);
}

base::Result<> Forest::can_remove(GroupId id) const {
    const Group* doomed = group(id);
    if (doomed == nullptr) {
        return base::refuse(ENOENT, "there is no such group");
    }
    if (doomed->parent.value == 0) {
        return base::refuse(EBUSY, full_path(id) + " is the root of its hierarchy",
                            "remove the hierarchy instead");
    }
    if (const std::string reason = busy_reason(id); !reason.empty()) {
        return base::refuse(EBUSY, "cannot remove " + full_path(id) + ": " + reason);
    }
    return {};
}

base::Result<> Forest::remove_group(GroupId id) {
    if (auto possible = can_remove(id); !possible) {
        return possible;
    }
    Group& doomed = groups_.at(id);
    flipped_.add(id);
    forget_idle_rows(id);
    by_name_.erase(ChildKey{doomed.parent, doomed.name});
    count_living(doomed.parent, -1);
    doomed.dying = true;
    finish_dying(id);
    gone_.erase(std::remove(gone_.begin(), gone_.end(), id),
                gone_.end());  // the caller knows: it has just asked for it
    return {};
}

void Forest::erase_group(GroupId id) {
    flipped_.add(id);
    if (Group* parent = group(groups_.at(id).parent)) {
        std::erase(parent->children, id);
        if (parent->children.empty()) {
            release_candidates_.add(parent->id);
        }
    }
    groups_.erase(id);
}

// A dying group goes when nothing holds it any more, and with it perhaps its dying parent, and so on upwards.
void Forest::finish_dying(GroupId id) {
    Group* at = group(id);
    while (at != nullptr && at->dying && at->holders.empty() && at->children.empty()) {
        const GroupId parent = at->parent;
        gone_.push_back(at->id);
        erase_group(at->id);
        at = group(parent);
    }
}

void Forest::hold(GroupId id, std::string_view controller, std::string_view why) {
    if (Group* held = group(id)) {
        held->holders.edit()[std::string(controller)] = why;
    }
}

void Forest::drop_hold(GroupId id, std::string_view controller) {
    if (Group* held = group(id)) {
        if (!held->holders.empty() && held->holders.edit().erase(std::string(controller)) > 0 &&
            held->holders.empty()) {
            release_candidates_.add(id);
        }
        finish_dying(id);
    }
}

std::vector<GroupId> Forest::take_gone() {
    return std::exchange(gone_, {});
}

}  // namespace gpcsup::grouping
