#include "grouping/tree_plan.h"

#include <algorithm>
#include <array>
#include <map>
#include <set>
#include <tuple>

namespace gpcsup::grouping {

namespace {

constexpr std::array<std::string_view, 8> action_names = {
    "remove-group",     "remove-hierarchy", "change-compat", "release-controllers",
    "rebind-hierarchy", "create-hierarchy", "create-group",  "set"};

const DeclaredHierarchy* find(const DeclaredTree& tree, std::string_view name) {
    const auto found = std::ranges::find(tree, name, &DeclaredHierarchy::name);
    return found == tree.end() ? nullptr : &*found;
}

bool has(const std::vector<std::string>& controllers, std::string_view name) {
    return std::ranges::find(controllers, name) != controllers.end();
}

const DeclaredGroup* find(const DeclaredHierarchy& hierarchy, std::string_view path) {
    const auto found = std::ranges::find(hierarchy.groups, path, &DeclaredGroup::path);
    return found == hierarchy.groups.end() ? nullptr : &*found;
}

const std::string* find(const DeclaredGroup* group, std::string_view setting) {
    if (group == nullptr) {
        return nullptr;
    }
    const auto found = std::ranges::find(group->settings, setting, &DeclaredSetting::name);
    return found == group->settings.end() ? nullptr : &found->value;
}

std::set<std::string> as_set(const std::vector<std::string>& list) {
    return {list.begin(), list.end()};
}

// The groups that a hierarchy's declaration makes: those it names and all above them, but not the root.
std::set<std::string> groups_made(const DeclaredHierarchy* hierarchy) {
    std::set<std::string> made;
    if (hierarchy != nullptr) {
        for (const DeclaredGroup& group : hierarchy->groups) {
            for (std::size_t end = group.path.find('/', 1); end != std::string::npos;
                 end = group.path.find('/', end + 1)) {
                made.insert(group.path.substr(0, end));
            }
            made.insert(group.path);
        }
    }
    made.erase("/");
    return made;
}

bool is_below(std::string_view path, std::string_view top) {
    return path.size() > top.size() + 1 && path.starts_with(top) && path[top.size()] == '/';
}

class Planner {
  public:
    Planner(const DeclaredTree& previous, const DeclaredTree& next, const DeclaredTree& live,
            const DefaultOf& default_of)
        : previous_(previous), next_(next), live_(live), default_of_(default_of) {}

    std::vector<TreeStep> plan() {
        for (const DeclaredHierarchy& old : previous_) {
            if (const DeclaredHierarchy* there = find(live_, old.name)) {
                remove_groups(old, *there);
                if (find(next_, old.name) == nullptr) {
                    add({.action = TreeAction::remove_hierarchy, .hierarchy = old.name});
                }
            }
        }
        for (const DeclaredHierarchy& wanted : next_) {
            const DeclaredHierarchy* there = find(live_, wanted.name);
            if (there == nullptr) {
                add({.action = TreeAction::create_hierarchy,
                     .hierarchy = wanted.name,
                     .controllers = wanted.controllers,
                     .compat = wanted.compat,
                     .location = wanted.location});
            } else if (there->compat != wanted.compat) {
                add({.action = TreeAction::change_compat,
                     .hierarchy = wanted.name,
                     .compat = wanted.compat,
                     .location = wanted.location});
            } else if (as_set(there->controllers) != as_set(wanted.controllers)) {
                rebind(wanted, *there);
            }
            for (const DeclaredGroup& group : wanted.groups) {
                plan_group(wanted, group, there);
            }
            if (const DeclaredHierarchy* old = find(previous_, wanted.name);
                old != nullptr && there != nullptr) {
                reset_groups_of_parents(wanted, *old, *there);
            }
        }
        std::ranges::stable_sort(steps_, {}, &TreeStep::action);
        return std::move(steps_);
    }

  private:
    void add(TreeStep step) { steps_.push_back(std::move(step)); }

    // The deepest first.
    void remove_groups(const DeclaredHierarchy& old, const DeclaredHierarchy& there) {
        std::set<std::string> gone = groups_made(&old);
        for (const std::string& stays : groups_made(find(next_, old.name))) {
            gone.erase(stays);
        }
        for (auto path = gone.rbegin(); path != gone.rend(); ++path) {
            if (find(there, *path) != nullptr) {
                add({.action = TreeAction::remove_group, .hierarchy = old.name, .path = *path});
            }
        }
    }

    // In two steps where another hierarchy wants what this one has: first everything is given away.
    void rebind(const DeclaredHierarchy& wanted, const DeclaredHierarchy& there) {
        std::vector<std::string> kept;
        for (const std::string& controller : there.controllers) {
            if (as_set(wanted.controllers).contains(controller)) {
                kept.push_back(controller);
            }
        }
        if (kept.size() < there.controllers.size() && kept.size() < wanted.controllers.size()) {
            add({.action = TreeAction::release_controllers,
                 .hierarchy = wanted.name,
                 .controllers = kept,
                 .location = wanted.location});
        }
        // Who only gives away does so with the first.
        add({.action = kept.size() == wanted.controllers.size() ? TreeAction::release_controllers
                                                                : TreeAction::rebind_hierarchy,
             .hierarchy = wanted.name,
             .controllers = wanted.controllers,
             .location = wanted.location});
    }

    void plan_group(const DeclaredHierarchy& wanted, const DeclaredGroup& group,
                    const DeclaredHierarchy* there) {
        const DeclaredGroup* live = there == nullptr ? nullptr : find(*there, group.path);
        if (live == nullptr && group.path != "/") {
            add({.action = TreeAction::create_group,
                 .hierarchy = wanted.name,
                 .path = group.path,
                 .location = group.location});
        }
        const DeclaredHierarchy* old = find(previous_, wanted.name);
        plan_settings(wanted, group, old == nullptr ? nullptr : find(*old, group.path), live);
    }

    // What is set now, and what was and is no more.
    void plan_settings(const DeclaredHierarchy& wanted, const DeclaredGroup& group, const DeclaredGroup* old,
                       const DeclaredGroup* live) {
        TreeStep step{.action = TreeAction::set,
                      .hierarchy = wanted.name,
                      .path = group.path,
                      .location = group.location};
        const auto change = [&](const std::string& name, const std::string& to) {
            const std::string* known = find(live, name);
            const std::string from = known == nullptr ? default_of(wanted, group, name) : *known;
            if (to != from) {
                step.changes.push_back({name, from, to});
            }
        };
        for (const DeclaredSetting& setting : group.settings) {
            change(setting.name, setting.value);
        }
        if (old != nullptr) {
            for (const DeclaredSetting& setting : old->settings) {
                if (find(&group, setting.name) == nullptr && find(live, setting.name) != nullptr &&
                    !goes_with_its_controller(wanted, setting.name)) {
                    change(setting.name, default_of(wanted, group, setting.name));
                }
            }
        }
        if (!step.changes.empty()) {
            add(std::move(step));
        }
    }

    [[nodiscard]] std::string default_of(const DeclaredHierarchy& hierarchy, const DeclaredGroup& group,
                                         const std::string& setting) const {
        return default_of_(hierarchy.compat, group.path, setting);
    }

    // Nobody resets what was set by a controller that the hierarchy gives away.
    [[nodiscard]] bool goes_with_its_controller(const DeclaredHierarchy& wanted,
                                                const std::string& setting) const {
        const std::string controller = setting.substr(0, setting.find('.'));
        const DeclaredHierarchy* there = find(live_, wanted.name);
        return there != nullptr && has(there->controllers, controller) &&
               !has(wanted.controllers, controller);
    }

    // A group that was declared with settings, and is now there only because one below it is declared.
    void reset_groups_of_parents(const DeclaredHierarchy& wanted, const DeclaredHierarchy& old,
                                 const DeclaredHierarchy& there) {
        const std::set<std::string> made = groups_made(&wanted);
        for (const DeclaredGroup& group : old.groups) {
            if (find(wanted, group.path) == nullptr && (made.contains(group.path) || group.path == "/")) {
                plan_settings(wanted, {group.path, {}, ""}, &group, find(there, group.path));
            }
        }
    }

    const DeclaredTree& previous_;
    const DeclaredTree& next_;
    const DeclaredTree& live_;
    const DefaultOf& default_of_;
    std::vector<TreeStep> steps_;
};

std::string in_list(const std::vector<std::string>& names) {
    std::string text;
    for (const std::string& name : names) {
        text += (text.empty() ? "" : ", ") + name;
    }
    return text;
}

std::string with_compat(Compat compat) {
    return compat == Compat::none ? "without compat"
                                  : "with compat = \"" + std::string(name_of(compat)) + "\"";
}

// There are two.
Compat other(Compat compat) {
    return compat == Compat::none ? Compat::year_2006 : Compat::none;
}

class Blockers {
  public:
    Blockers(const std::vector<TreeStep>& steps, const DeclaredTree& live, const OccupantsOf& occupants_of)
        : steps_(steps), live_(live), occupants_of_(occupants_of) {
        for (const DeclaredHierarchy& hierarchy : live_) {
            for (const std::string& controller : hierarchy.controllers) {
                bound_[controller] = hierarchy.name;
            }
        }
        for (const TreeStep& step : steps_) {
            if (step.action == TreeAction::remove_group) {
                removed_.insert(step.what());
            }
        }
    }

    std::vector<TreeBlocker> find_all() {
        for (const TreeStep& step : steps_) {
            switch (step.action) {
                case TreeAction::remove_group:
                    check_group(step);
                    break;
                case TreeAction::remove_hierarchy:
                    check_bare(step, "removed");
                    unbind(step.hierarchy);
                    break;
                case TreeAction::change_compat:
                    block(step, "the hierarchy " + step.hierarchy + " exists " +
                                    with_compat(other(step.compat)) + " and cannot come to be " +
                                    with_compat(step.compat) +
                                    ": what its groups have and are limited to was counted by other rules; "
                                    "remove it first");
                    break;
                case TreeAction::release_controllers:
                case TreeAction::rebind_hierarchy:
                    check_bare(step, "rebound");
                    unbind(step.hierarchy);
                    bind(step);
                    break;
                case TreeAction::create_hierarchy:
                    bind(step);
                    break;
                case TreeAction::create_group:
                case TreeAction::set:
                    break;
            }
        }
        return std::move(found_);
    }

  private:
    // Groups that stay, below PATH ("" = all but the root).
    std::vector<std::string> left_below(const std::string& hierarchy, const std::string& path) const {
        std::vector<std::string> left;
        if (const DeclaredHierarchy* there = find(live_, hierarchy)) {
            for (const DeclaredGroup& group : there->groups) {
                if (group.path != "/" && is_below(group.path, path) &&
                    !removed_.contains(hierarchy + ":" + group.path)) {
                    left.push_back(group.path);
                }
            }
        }
        return left;
    }

    void block(const TreeStep& step, std::string message) {
        found_.push_back({step.what(), std::move(message), step.location});
    }

    void check_group(const TreeStep& step) {
        if (const auto left = left_below(step.hierarchy, step.path); !left.empty()) {
            block(step,
                  step.what() + " cannot be removed: groups made at run time are below it: " + in_list(left));
        }
        const Occupants in = occupants_of_(step.hierarchy, step.path);
        for (const auto& [count, one, many] : {std::tuple(in.processes, " process is", " processes are"),
                                               std::tuple(in.threads, " thread is", " threads are")}) {
            if (count > 0) {
                block(step, step.what() + " cannot be removed: " + std::to_string(count) +
                                (count == 1 ? one : many) + " in it");
            }
        }
    }

    void check_bare(const TreeStep& step, std::string_view done) {
        if (const auto left = left_below(step.hierarchy, ""); !left.empty()) {
            block(step, "the hierarchy " + step.hierarchy + " cannot be " + std::string(done) +
                            " while it has groups: " + in_list(left));
        }
    }

    void unbind(const std::string& hierarchy) {
        std::erase_if(bound_, [&](const auto& one) { return one.second == hierarchy; });
    }

    void bind(const TreeStep& step) {
        for (const std::string& controller : step.controllers) {
            const auto [holder, is_new] = bound_.try_emplace(controller, step.hierarchy);
            if (!is_new && holder->second != step.hierarchy) {
                block(step, "the controller " + controller + " is bound to " + holder->second +
                                ", which was made at run time: remove it there first");
            }
        }
    }

    const std::vector<TreeStep>& steps_;
    const DeclaredTree& live_;
    const OccupantsOf& occupants_of_;
    std::set<std::string> removed_;
    std::map<std::string, std::string> bound_;  // controller → hierarchy
    std::vector<TreeBlocker> found_;
};

}  // namespace

std::string_view name_of(TreeAction action) {
    return action_names[static_cast<std::size_t>(action)];
}

std::string TreeStep::what() const {
    return path.empty() ? hierarchy : hierarchy + ":" + path;
}

std::string TreeStep::detail() const {
    switch (action) {
        case TreeAction::release_controllers:
        case TreeAction::rebind_hierarchy:
        case TreeAction::create_hierarchy:
            return (controllers.empty() ? "no controllers" : in_list(controllers)) +
                   (compat == Compat::none ? "" : "; " + with_compat(compat));
        case TreeAction::change_compat:
            return with_compat(compat);
        case TreeAction::set: {
            std::string text;
            for (const SettingChange& change : changes) {
                text += text.empty() ? "" : ", ";
                text += change.name + ": " + (change.from.empty() ? "\"\"" : change.from) + " → " +
                        (change.to.empty() ? "\"\"" : change.to);
            }
            return text;
        }
        default:
            return {};
    }
}

std::vector<TreeStep> plan_tree(const DeclaredTree& previous, const DeclaredTree& next,
                                const DeclaredTree& live, const DefaultOf& default_of) {
    return Planner(previous, next, live, default_of).plan();
}

std::vector<TreeBlocker> blockers_of(const std::vector<TreeStep>& steps, const DeclaredTree& live,
                                     const OccupantsOf& occupants_of) {
    return Blockers(steps, live, occupants_of).find_all();
}

}  // namespace gpcsup::grouping
