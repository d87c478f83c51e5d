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

// Whether the declaration says it of this very group.
bool says(const DeclaredHierarchy& hierarchy, std::string_view path, std::string_view setting) {
    return std::ranges::any_of(hierarchy.groups, [&](const DeclaredGroup& group) {
        return group.path == path &&
               std::ranges::find(group.settings, setting, &DeclaredSetting::name) != group.settings.end();
    });
}

// A hierarchy's groups as they are once they are made.
class MadeGroups {
  public:
    MadeGroups(const DeclaredHierarchy* hierarchy, const Making& making) {
        if (hierarchy != nullptr) {
            for (DeclaredGroup& group : as_made(*hierarchy, making).groups) {
                values_[group.path] = values_of(group);
                locations_[group.path] = std::move(group.location);
            }
        }
    }
    [[nodiscard]] const AttributeValues* find(const std::string& path) const {
        const auto found = values_.find(path);
        return found == values_.end() ? nullptr : &found->second;
    }
    [[nodiscard]] const std::map<std::string, AttributeValues>& all() const { return values_; }
    [[nodiscard]] const std::string& location(const std::string& path) const { return locations_.at(path); }

  private:
    std::map<std::string, AttributeValues> values_;  // parents before their children
    std::map<std::string, std::string> locations_;
};

std::string value_of(const AttributeValues& values, const std::string& name, const Defaults& defaults) {
    const auto found = values.find(name);
    return found == values.end() ? defaults.of(name) : found->second;
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
            const Making& making)
        : previous_(previous), next_(next), live_(live), making_(making) {}

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
            plan_groups(wanted, there);
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

    void plan_groups(const DeclaredHierarchy& wanted, const DeclaredHierarchy* there) {
        for (const DeclaredGroup& group : wanted.groups) {
            if (group.path != "/" && (there == nullptr || find(*there, group.path) == nullptr)) {
                add({.action = TreeAction::create_group,
                     .hierarchy = wanted.name,
                     .path = group.path,
                     .location = group.location});
            }
        }
        const MadeGroups before(find(previous_, wanted.name), making_);
        const MadeGroups after(&wanted, making_);
        const MadeGroups live(there, making_);
        std::map<std::string, AttributeValues> now;  // when all groups are made and none is set
        std::map<std::string, Possible> possible;
        for (const auto& [path, values] : after.all()) {
            const Defaults defaults{making_, wanted.compat, path};
            std::set<std::string> names;
            if (live.find(path) == nullptr && path != "/") {
                const std::string parent = path.substr(0, std::max<std::size_t>(path.rfind('/'), 1));
                now[path] = born_with(now[parent], defaults);
                possible[path] = births(possible[parent], defaults);
                names = unsure(values, possible[path], defaults);
            } else {
                const AttributeValues* as_it_is = live.find(path);
                now[path] = as_it_is != nullptr ? *as_it_is : AttributeValues{};
                names = named(values, before.find(path));
                std::erase_if(names, [&](const std::string& name) {
                    return value_of(now[path], name, defaults) == value_of(values, name, defaults);
                });
                for (const auto& [name, value] : now[path]) {
                    possible[path][name] = {value};
                }
            }
            add_possible(possible[path], values, defaults);
            plan_settings(wanted, {path, values, now[path], names, after.location(path)});
        }
    }

    // The values that a group may have while the steps are taken, in whatever order; not listed: the default.
    using Possible = std::map<std::string, std::set<std::string>>;

    // Besides what it may have already.
    static void add_possible(Possible& possible, const AttributeValues& values, const Defaults& defaults) {
        for (const auto& [name, value] : values) {
            possible.try_emplace(name, std::set{defaults.of(name)});
        }
        for (auto& [name, all] : possible) {
            all.insert(value_of(values, name, defaults));
        }
    }

    // What a child may be born with.
    [[nodiscard]] Possible births(const Possible& parent, const Defaults& defaults) const {
        Possible child;
        const auto copy = [&](const std::string& name) {
            if (const auto found = parent.find(name); found != parent.end()) {
                child[name] = found->second;
            }
        };
        std::ranges::for_each(making_.inherited, copy);
        const auto clones = parent.find(std::string(clone_switch));
        if (clones != parent.end() && clones->second.contains("true")) {
            std::ranges::for_each(making_.cloned, copy);
        }
        if (clones != parent.end() && clones->second.size() > 1) {
            for (const std::string& name : making_.cloned) {
                child[name].insert(defaults.of(name));
            }
        }
        return child;
    }

    // What a new group may not have by its making alone.
    [[nodiscard]] static std::set<std::string> unsure(const AttributeValues& wanted, const Possible& births,
                                                      const Defaults& defaults) {
        std::set<std::string> names;
        for (const auto& [name, values] : births) {
            if (values != std::set{value_of(wanted, name, defaults)}) {
                names.insert(name);
            }
        }
        for (const auto& [name, value] : wanted) {
            if (!births.contains(name) && value != defaults.of(name)) {
                names.insert(name);
            }
        }
        return names;
    }

    // What the file says now, and what it said.
    static std::set<std::string> named(const AttributeValues& after, const AttributeValues* before) {
        std::set<std::string> names;
        for (const AttributeValues* values : {&after, before}) {
            if (values != nullptr) {
                for (const auto& [name, value] : *values) {
                    names.insert(name);
                }
            }
        }
        return names;
    }

    struct GroupChange {
        const std::string& path;
        const AttributeValues& to;
        const AttributeValues& from;
        const std::set<std::string>& names;
        const std::string& location;
    };

    // What is inherited is a step of its own: the group has it also where what is said of it is refused.
    void plan_settings(const DeclaredHierarchy& wanted, const GroupChange& change) {
        TreeStep inherited{.action = TreeAction::set,
                           .hierarchy = wanted.name,
                           .path = change.path,
                           .location = change.location};
        TreeStep said = inherited;
        const Defaults defaults{making_, wanted.compat, change.path};
        for (const std::string& name : change.names) {
            if (!goes_with_its_controller(wanted, name)) {
                const bool is_inherited = can_be_inherited(name) && !says(wanted, change.path, name);
                (is_inherited ? inherited : said)
                    .changes.push_back(
                        {name, value_of(change.from, name, defaults), value_of(change.to, name, defaults)});
            }
        }
        for (TreeStep* step : {&inherited, &said}) {
            if (!step->changes.empty()) {
                add(std::move(*step));
            }
        }
    }

    [[nodiscard]] bool can_be_inherited(const std::string& name) const {
        return has(making_.inherited, name) || has(making_.cloned, name);
    }

    // Nobody resets what was set by a controller that the hierarchy gives away.
    [[nodiscard]] bool goes_with_its_controller(const DeclaredHierarchy& wanted,
                                                const std::string& setting) const {
        const std::string controller = setting.substr(0, setting.find('.'));
        const DeclaredHierarchy* there = find(live_, wanted.name);
        return there != nullptr && has(there->controllers, controller) &&
               !has(wanted.controllers, controller);
    }

    const DeclaredTree& previous_;
    const DeclaredTree& next_;
    const DeclaredTree& live_;
    const Making& making_;
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
                                const DeclaredTree& live, const Making& making) {
    return Planner(previous, next, live, making).plan();
}

std::vector<TreeBlocker> blockers_of(const std::vector<TreeStep>& steps, const DeclaredTree& live,
                                     const OccupantsOf& occupants_of) {
    return Blockers(steps, live, occupants_of).find_all();
}

}  // namespace gpcsup::grouping
