#include "supervisor/live_tree.h"

#include <set>

#include "config/write_tree.h"
#include "controllers/describe.h"
#include "supervisor/placing.h"

namespace gpcsup::supervisor {

namespace {

config::ValueStyle style_of(std::string_view attribute) {
    auto row = controllers::find_attribute(attribute);
    if (!row) {
        return config::ValueStyle::quoted;
    }
    switch ((*row)->type) {
        case controllers::AttributeType::boolean:
        case controllers::AttributeType::count:
        case controllers::AttributeType::limit:
            return config::ValueStyle::bare;
        default:
            return config::ValueStyle::quoted;
    }
}

// With all that is not the default, wherever it came from.
grouping::DeclaredHierarchy as_it_is(const grouping::Forest& forest,
                                     const controllers::ControllerSet& controllers,
                                     const grouping::Hierarchy& hierarchy) {
    grouping::DeclaredHierarchy actual{hierarchy.name, hierarchy.controllers, {}, "", hierarchy.compat};
    forest.for_each_living_below(hierarchy.root, [&](const grouping::Group& group) {
        grouping::DeclaredGroup one{forest.path(group.id), {}, ""};
        for (const controllers::SettingText& setting : controllers.all_settings_of(group.id)) {
            one.settings.push_back({setting.name, setting.value});
        }
        actual.groups.push_back(std::move(one));
    });
    return actual;
}

// Groups of units and of rules.
std::set<std::string> groups_that_go(const grouping::Forest& forest, const grouping::Hierarchy& hierarchy) {
    std::set<std::string> paths;
    forest.for_each_living_below(hierarchy.root, [&](const grouping::Group& group) {
        if (group.auto_remove) {
            paths.insert(forest.path(group.id));
        }
    });
    return paths;
}

}  // namespace

const grouping::Making& making_of_groups() {
    static const grouping::Making making = [] {
        grouping::Making facts;
        facts.default_of = [](grouping::Compat compat, const std::string& path,
                              const std::string& attribute) {
            auto row = controllers::find_attribute(attribute);
            const auto level = path == "/" ? controllers::Level::root : controllers::Level::below;
            return row ? std::string(controllers::default_of(**row, compat, level)) : std::string();
        };
        for (auto& attribute : controllers::describe_attributes()) {
            if (attribute.cloned == controllers::Cloned::always) {
                facts.inherited.push_back(std::move(attribute.name));
            } else if (attribute.cloned == controllers::Cloned::with_clone_children) {
                facts.cloned.push_back(std::move(attribute.name));
            }
        }
        return facts;
    }();
    return making;
}

grouping::DeclaredTree live_tree(const grouping::Forest& forest,
                                 const controllers::ControllerSet& controllers) {
    grouping::DeclaredTree tree;
    for (const grouping::Hierarchy* hierarchy : forest.hierarchies()) {
        if (hierarchy->id != Placing::unit_hierarchy) {
            tree.push_back(
                grouping::as_declared(as_it_is(forest, controllers, *hierarchy), making_of_groups()));
        }
    }
    return tree;
}

std::string snapshot(const grouping::Forest& forest, const controllers::ControllerSet& controllers,
                     const std::vector<grouping::Rule>& rules) {
    grouping::DeclaredTree tree;
    std::vector<config::LeftOut> left_out;
    for (const grouping::Hierarchy* hierarchy : forest.hierarchies()) {
        if (hierarchy->id == Placing::unit_hierarchy) {
            continue;
        }
        const std::set<std::string> going = groups_that_go(forest, *hierarchy);
        for (const std::string& path : going) {
            left_out.push_back({hierarchy->name + ":" + path, "goes when it is empty"});
        }
        tree.push_back(
            grouping::as_declared(as_it_is(forest, controllers, *hierarchy), making_of_groups(), going));
    }
    return config::write_tree(tree, rules, left_out, style_of);
}

}  // namespace gpcsup::supervisor
