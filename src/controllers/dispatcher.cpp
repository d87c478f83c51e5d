// ControllerSet: which controller is bound where, and keeping its state in step with the groups. Settings are
// in settings.cpp, what happens to processes in routing.cpp.

#include "controllers/dispatcher.h"

#include <algorithm>
#include <cerrno>
#include <functional>

#include "controllers/core_attributes.h"
#include "grouping/names.h"

namespace gpcsup::controllers {

using grouping::Group;
using grouping::GroupId;
using grouping::Hierarchy;
using grouping::HierarchyId;

ControllerSet::ControllerSet(grouping::Forest& forest, Host& host) : forest_(forest), host_(host) {
    for (const Registered& each : registered()) {
        all_.push_back(Bound{each.name, each.factory(host), std::nullopt, std::nullopt});
    }
    bind_slots();
    for (Bound& each : all_) {
        open_account(each);
    }
}

ControllerSet::~ControllerSet() = default;

ControllerSet::Bound* ControllerSet::find(std::string_view name) {
    const auto found = std::ranges::find(all_, name, &Bound::name);
    return found != all_.end() ? &*found : nullptr;
}

const ControllerSet::Bound* ControllerSet::find(std::string_view name) const {
    const auto found = std::ranges::find(all_, name, &Bound::name);
    return found != all_.end() ? &*found : nullptr;
}

std::vector<ControllerSet::Bound*> ControllerSet::bound_to(HierarchyId id) {
    std::vector<Bound*> result;
    for (Bound& each : all_) {
        if (each.hierarchy == id) {
            result.push_back(&each);
        }
    }
    return result;
}

std::vector<const ControllerSet::Bound*> ControllerSet::bound_to(HierarchyId id) const {
    std::vector<const Bound*> result;
    for (const Bound& each : all_) {
        if (each.hierarchy == id) {
            result.push_back(&each);
        }
    }
    return result;
}

std::vector<std::string_view> ControllerSet::unbound() const {
    std::vector<std::string_view> names;
    for (const Bound& each : all_) {
        if (!each.hierarchy) {
            names.push_back(each.name);
        }
    }
    return names;
}

bool ControllerSet::is_bound(std::string_view controller, GroupId group) const {
    const Bound* bound = find(controller);
    const Group* at = forest_.group(group);
    return bound != nullptr && at != nullptr && bound->hierarchy == at->hierarchy;
}

std::optional<std::string_view> ControllerSet::unbound_account(std::string_view address) const {
    const auto parts = grouping::split_address(address);
    const Bound* bound = parts ? find(parts->hierarchy) : nullptr;
    if (bound == nullptr || !bound->account || parts->path != "/" ||
        forest_.find_hierarchy(parts->hierarchy) != nullptr) {
        return std::nullopt;
    }
    return bound->name;
}

// An unbound controller accounts everything at the root of the hierarchy that always exists and that
// everybody is in. It is no binding: no path leads from the controller's name there, and no setting.
void ControllerSet::open_account(Bound& bound) {
    const GroupId everybody = forest_.hierarchy(HierarchyId{0})->root;
    if (!bound.hierarchy && !bound.account && bound.controller->create(everybody, GroupId{})) {
        bound.account = everybody;
    }
}

void ControllerSet::close_account(Bound& bound) {
    if (const auto account = std::exchange(bound.account, std::nullopt)) {
        bound.controller->destroy(*account);
    }
}

// The forest has the truth about which word is bound where; this only follows it.
void ControllerSet::bind_slots() {
    std::vector<std::string> words;
    for (Bound& each : all_) {
        each.hierarchy.reset();
        for (const Hierarchy* hierarchy : forest_.hierarchies()) {
            if (std::ranges::find(hierarchy->controllers, each.name) != hierarchy->controllers.end()) {
                each.hierarchy = hierarchy->id;
            }
        }
        if (!each.hierarchy) {
            words.emplace_back(each.name);
        }
    }
    forest_.set_unbound(std::move(words));
}

// A hierarchy with the name of a controller that it does not have would hide where that controller is.
base::Result<> ControllerSet::check_names(std::string_view hierarchy,
                                          std::span<const std::string> controllers) const {
    if (find(hierarchy) != nullptr && std::ranges::find(controllers, hierarchy) == controllers.end()) {
        return base::refuse(
            EINVAL,
            "hierarchy " + std::string(hierarchy) + " would have the name of a controller that is not in it",
            "choose another name");
    }
    for (const std::string& name : controllers) {
        if (auto known = require_controller(name); !known) {
            return base::pass(known);
        }
    }
    return {};
}

base::Result<> ControllerSet::create_state(std::span<Bound* const> controllers, GroupId group) {
    const GroupId parent = forest_.group(group)->parent;
    for (std::size_t made = 0; made < controllers.size(); ++made) {
        auto created = controllers[made]->controller->create(group, parent);
        if (!created) {
            destroy_state(controllers.first(made), group);
            return created;
        }
    }
    return {};
}

base::Result<> ControllerSet::create_state(GroupId group) {
    return create_state(bound_to(forest_.group(group)->hierarchy), group);
}

void ControllerSet::destroy_state(std::span<Bound* const> controllers, GroupId group) {
    for (auto each = controllers.rbegin(); each != controllers.rend(); ++each) {
        (*each)->controller->destroy(group);
    }
}

base::Result<HierarchyId> ControllerSet::create_hierarchy(std::string_view name,
                                                          std::span<const std::string> controllers,
                                                          grouping::Compat compat) {
    if (auto known = check_names(name, controllers); !known) {
        return base::pass(known);
    }
    const Hierarchy* before = forest_.find_hierarchy(name);
    const bool existed = before != nullptr && before->name == name;
    auto id = forest_.create_hierarchy(name, controllers, compat);
    if (!id || existed) {
        return id;
    }
    bind_slots();
    const auto coming = bound_to(*id);
    std::ranges::for_each(coming, [this](Bound* each) { close_account(*each); });
    if (auto created = create_state(forest_.hierarchy(*id)->root); !created) {
        static_cast<void>(forest_.remove_hierarchy(*id));  // cannot fail: it is new and has its root only
        bind_slots();
        std::ranges::for_each(coming, [this](Bound* each) { open_account(*each); });
        return base::pass(created);
    }
    host_.processes().books().learn_hierarchy(*id);
    return id;
}

base::Result<> ControllerSet::remove_hierarchy(HierarchyId id) {
    const Hierarchy* doomed = forest_.hierarchy(id);
    const GroupId root = doomed != nullptr ? doomed->root : GroupId{};
    const auto controllers = bound_to(id);
    if (auto removed = forest_.remove_hierarchy(id); !removed) {
        return removed;
    }
    host_.processes().books().forget_hierarchy(id);
    destroy_state(controllers, root);
    settings_.erase(root);
    bind_slots();
    std::ranges::for_each(controllers, [this](Bound* each) { open_account(*each); });
    return {};
}

base::Result<> ControllerSet::rebind(HierarchyId id, std::span<const std::string> controllers) {
    const Hierarchy* hierarchy = forest_.hierarchy(id);
    if (hierarchy == nullptr) {
        return base::refuse(ENOENT, "there is no such hierarchy");
    }
    if (auto known = check_names(hierarchy->name, controllers); !known) {
        return known;
    }
    if (id.value == 0) {
        return base::refuse(EINVAL, "hierarchy unit is built in and has no controllers",
                            "bind them to another one with gpcsup hierarchy create");
    }
    if (const std::string reason = forest_.groups_in_the_way(id); !reason.empty()) {
        return base::refuse(EBUSY,
                            "cannot change the controllers of hierarchy " + hierarchy->name + ": " + reason);
    }
    const std::vector<std::string> before = hierarchy->controllers;
    if (auto changed = forest_.set_controllers(id, controllers); !changed) {
        return changed;
    }
    std::vector<Bound*> leaving;
    std::vector<Bound*> coming;
    for (Bound& each : all_) {
        const bool wanted = std::ranges::find(controllers, each.name) != controllers.end();
        if (each.hierarchy == id && !wanted) {
            leaving.push_back(&each);
        } else if (each.hierarchy != id && wanted) {
            coming.push_back(&each);
        }
    }
    const GroupId root = hierarchy->root;
    bind_slots();
    std::ranges::for_each(coming, [this](Bound* each) { close_account(*each); });
    if (auto created = create_state(coming, root); !created) {
        static_cast<void>(forest_.set_controllers(id, before));  // cannot fail: they were its own
        bind_slots();
        std::ranges::for_each(coming, [this](Bound* each) { open_account(*each); });
        return created;
    }
    destroy_state(leaving, root);
    std::ranges::for_each(leaving, [this](Bound* each) { open_account(*each); });
    for (const Bound* each : leaving) {
        std::erase_if(settings_[root], [&](const auto& setting) {
            return setting.first.starts_with(std::string(each->name) + ".");
        });
    }
    return {};
}

base::Result<GroupId> ControllerSet::create_group(GroupId parent, std::string_view name) {
    auto id = forest_.create_group(parent, name);
    if (!id) {
        return id;
    }
    if (auto created = create_state(*id); !created) {
        static_cast<void>(forest_.remove_group(*id));  // cannot fail: it is new and empty
        return base::pass(created);
    }
    inherit_core(forest_, *id);  // limits are not among it: they hold for the group anyway
    if (auto cloned = clone_settings(*id); !cloned) {
        take_away(*id);
        return base::pass(cloned);
    }
    return id;
}

base::Result<GroupId> ControllerSet::create_path(HierarchyId hierarchy, std::string_view path) {
    auto walk = forest_.walk(hierarchy, path);
    if (!walk) {
        return base::pass(walk);
    }
    GroupId at = walk->reached;
    std::vector<GroupId> made;
    for (const std::string_view component : walk->missing) {
        auto created = create_group(at, component);
        if (!created) {
            for (auto each = made.rbegin(); each != made.rend(); ++each) {
                take_away(*each);
            }
            return created;
        }
        made.push_back(at = *created);
    }
    return at;
}

base::Result<> ControllerSet::remove_group(GroupId id) {
    if (auto possible = forest_.can_remove(id); !possible) {
        return possible;
    }
    if (removing_) {
        removing_(id);
    }
    take_away(id);
    return {};
}

// Of a group that can go: nobody is in it, and it is no root.
void ControllerSet::take_away(GroupId id) {
    const HierarchyId hierarchy = forest_.group(id)->hierarchy;
    const GroupId parent = forest_.group(id)->parent;
    const std::string path = forest_.full_path(id);
    static_cast<void>(forest_.remove_group(id));
    host_.processes().books().forget_group(id, parent);
    settings_.erase(id);
    if (forest_.group(id) == nullptr) {
        destroy_state(bound_to(hierarchy), id);
    } else {
        dying_[id] = {hierarchy, path};  // a controller holds it: its state goes with the last hold
    }
}

base::Result<std::vector<RemovedGroup>> ControllerSet::remove_tree(GroupId top) {
    const Group* at = forest_.group(top);
    if (at == nullptr || at->populated > 0 || at->parent.value == 0) {
        auto refused = forest_.can_remove(top);
        return base::pass(refused);
    }
    std::vector<GroupId> groups;
    forest_.for_each_below(top, [&](const Group& group) {
        if (!group.dying || group.id == top) {
            groups.push_back(group.id);
        }
    });
    std::vector<RemovedGroup> removed;
    for (auto id = groups.rbegin(); id != groups.rend(); ++id) {
        const std::string path = forest_.full_path(*id);
        if (auto done = remove_group(*id); !done) {
            return base::pass(done);  // only the top can be refused, first of all: it is dying
        }
        removed.push_back({*id, path});
    }
    return removed;
}

void ControllerSet::destroy_gone(std::vector<RemovedGroup>& gone) {
    for (const GroupId id : forest_.take_gone()) {
        if (const auto known = dying_.find(id); known != dying_.end()) {
            destroy_state(bound_to(known->second.hierarchy), id);
            gone.push_back({id, known->second.full_path, true});
            dying_.erase(known);
        }
    }
}

ControllerSet::Emptied ControllerSet::collect_empty(std::span<const GroupId> told) {
    Emptied result;
    destroy_gone(result.removed);
    result.emptied = forest_.take_emptied();
    for (const GroupId id : told) {
        const Group* group = forest_.group(id);
        if (group != nullptr && group->populated == 0 &&
            std::ranges::find(result.emptied, id) == result.emptied.end()) {
            result.emptied.push_back(id);
        }
    }
    for (const GroupId start : result.emptied) {
        for (GroupId at = start; at.value != 0;) {
            const Group* group = forest_.group(at);
            if (group == nullptr || !group->auto_remove || group->populated > 0 || !group->children.empty()) {
                break;
            }
            const GroupId parent = group->parent;
            const std::string path = forest_.full_path(at);
            if (!remove_group(at)) {
                break;
            }
            result.removed.push_back({at, path});
            at = parent;
        }
    }
    std::erase_if(result.emptied, [this](GroupId id) { return forest_.group(id) == nullptr; });
    return result;
}

base::Result<> ControllerSet::adopt() {
    std::ranges::for_each(all_, [this](Bound& each) { close_account(each); });
    bind_slots();
    std::ranges::for_each(all_, [this](Bound& each) { open_account(each); });
    for (const Hierarchy* hierarchy : forest_.hierarchies()) {
        const auto controllers = bound_to(hierarchy->id);
        std::vector<GroupId> groups;
        forest_.for_each_below(hierarchy->root, [&](const Group& group) {
            groups.push_back(group.id);
            if (group.dying) {
                dying_[group.id] = {hierarchy->id, forest_.full_path(group.id)};
            }
        });
        for (const GroupId id : groups) {
            if (auto created = create_state(controllers, id); !created) {
                return created;
            }
        }
    }
    return {};
}

void ControllerSet::recover() {
    for (const Hierarchy* hierarchy : forest_.hierarchies()) {
        std::vector<GroupId> groups;
        forest_.for_each_below(hierarchy->root, [&](const Group& group) { groups.push_back(group.id); });
        for (Bound* each : bound_to(hierarchy->id)) {
            std::ranges::for_each(groups, [&](GroupId id) { each->controller->recover(id); });
        }
    }
    forest_.drop_unheld();
    // Those that became empty just before the predecessor was killed.
    processes::Books& books = host_.processes().books();
    for (std::uint32_t book = 0; book < books.used(); ++book) {
        std::ranges::for_each(books.places(book), std::bind_front(&ControllerSet::queue_if_left, this));
    }
}

// A group of a book that is to go when empty, and is so. One that never had a process is in no book: it waits
// for its first.
void ControllerSet::queue_if_left(GroupId id) {
    const Group* group = forest_.group(id);
    if (group != nullptr && group->auto_remove && group->populated == 0) {
        forest_.queue_emptied(id);
    }
}

}  // namespace gpcsup::controllers
