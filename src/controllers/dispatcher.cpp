// ControllerSet: which controller is bound where, and keeping its state in step with the groups. Settings are
// in settings.cpp, what happens to processes in routing.cpp.

#include "controllers/dispatcher.h"

#include <algorithm>
#include <cerrno>

#include "grouping/names.h"

namespace gpcsup::controllers {

using grouping::Group;
using grouping::GroupId;
using grouping::Hierarchy;
using grouping::HierarchyId;

ControllerSet::ControllerSet(grouping::Forest& forest, Host& host) : forest_(forest), host_(host) {
    for (const Registered& each : registered()) {
        all_.push_back(Bound{each.name, each.factory(host), std::nullopt});
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

// The forest has the truth about which word is bound where; this only follows it.
void ControllerSet::bind_slots() {
    for (Bound& each : all_) {
        each.hierarchy.reset();
        for (const Hierarchy* hierarchy : forest_.hierarchies()) {
            if (std::ranges::find(hierarchy->controllers, each.name) != hierarchy->controllers.end()) {
                each.hierarchy = hierarchy->id;
            }
        }
    }
}

base::Result<> ControllerSet::check_names(std::span<const std::string> controllers) const {
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
                                                          std::span<const std::string> controllers) {
    if (auto known = check_names(controllers); !known) {
        return base::pass(known);
    }
    const Hierarchy* before = forest_.find_hierarchy(name);
    const bool existed = before != nullptr && before->name == name;
    auto id = forest_.create_hierarchy(name, controllers);
    if (!id || existed) {
        return id;
    }
    bind_slots();
    if (auto created = create_state(forest_.hierarchy(*id)->root); !created) {
        static_cast<void>(forest_.remove_hierarchy(*id));  // cannot fail: it is new and has its root only
        bind_slots();
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
    return {};
}

base::Result<> ControllerSet::rebind(HierarchyId id, std::span<const std::string> controllers) {
    const Hierarchy* hierarchy = forest_.hierarchy(id);
    if (hierarchy == nullptr) {
        return base::refuse(ENOENT, "there is no such hierarchy");
    }
    if (auto known = check_names(controllers); !known) {
        return known;
    }
    if (forest_.group_count(id) != 1) {
        return base::refuse(EBUSY, "cannot change the controllers of hierarchy " + hierarchy->name +
                                       " while it has groups: " + forest_.busy_reason(hierarchy->root));
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
    if (auto created = create_state(coming, root); !created) {
        static_cast<void>(forest_.set_controllers(id, before));  // cannot fail: they were its own
        bind_slots();
        return created;
    }
    destroy_state(leaving, root);
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
    return id;
}

base::Result<GroupId> ControllerSet::create_path(HierarchyId hierarchy, std::string_view path) {
    const Hierarchy* in = forest_.hierarchy(hierarchy);
    if (in == nullptr) {
        return base::refuse(ENOENT, "there is no such hierarchy");
    }
    const auto components = grouping::split_path(path);
    if (!components) {
        return std::unexpected(components.error());
    }
    std::vector<GroupId> made;
    GroupId at = in->root;
    for (const std::string_view component : *components) {
        if (const auto existing = forest_.child(at, component)) {
            at = *existing;
            continue;
        }
        auto created = create_group(at, component);
        if (!created) {
            for (auto each = made.rbegin(); each != made.rend(); ++each) {
                static_cast<void>(remove_group(*each));  // cannot fail: it is new and empty
            }
            return created;
        }
        made.push_back(at = *created);
    }
    return at;
}

base::Result<> ControllerSet::remove_group(GroupId id) {
    const Group* doomed = forest_.group(id);
    const HierarchyId hierarchy = doomed != nullptr ? doomed->hierarchy : HierarchyId{};
    const GroupId parent = doomed != nullptr ? doomed->parent : GroupId{};
    if (auto removed = forest_.remove_group(id); !removed) {
        return removed;
    }
    host_.processes().books().forget_group(id, parent);
    settings_.erase(id);
    if (forest_.group(id) == nullptr) {
        destroy_state(bound_to(hierarchy), id);
    } else {
        dying_[id] = hierarchy;  // a controller holds it: its state goes with the last hold
    }
    return {};
}

void ControllerSet::destroy_gone() {
    for (const GroupId id : forest_.take_gone()) {
        if (const auto known = dying_.find(id); known != dying_.end()) {
            destroy_state(bound_to(known->second), id);
            dying_.erase(known);
        }
    }
}

ControllerSet::Emptied ControllerSet::collect_empty() {
    destroy_gone();
    Emptied result;
    result.emptied = forest_.take_emptied();
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
    bind_slots();
    for (const Hierarchy* hierarchy : forest_.hierarchies()) {
        const auto controllers = bound_to(hierarchy->id);
        std::vector<GroupId> groups;
        forest_.for_each_below(hierarchy->root, [&](const Group& group) { groups.push_back(group.id); });
        for (const GroupId id : groups) {
            if (auto created = create_state(controllers, id); !created) {
                return created;
            }
        }
    }
    return {};
}

}  // namespace gpcsup::controllers
