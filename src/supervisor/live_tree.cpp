#include "supervisor/live_tree.h"

#include "config/write_tree.h"
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

}  // namespace

grouping::DeclaredTree live_tree(const grouping::Forest& forest,
                                 const controllers::ControllerSet& controllers) {
    grouping::DeclaredTree tree;
    for (const grouping::Hierarchy* hierarchy : forest.hierarchies()) {
        if (hierarchy->id == Placing::unit_hierarchy) {
            continue;
        }
        grouping::DeclaredHierarchy written{
            hierarchy->name, hierarchy->controllers, {}, "", hierarchy->compat};
        forest.for_each_living_below(hierarchy->root, [&](const grouping::Group& group) {
            grouping::DeclaredGroup one{forest.path(group.id), {}, ""};
            for (const controllers::SettingText& setting : controllers.settings_of(group.id)) {
                one.settings.push_back({setting.name, setting.value});
            }
            written.groups.push_back(std::move(one));
        });
        tree.push_back(std::move(written));
    }
    return tree;
}

std::string snapshot(const grouping::Forest& forest, const controllers::ControllerSet& controllers,
                     const std::vector<grouping::Rule>& rules) {
    std::vector<config::LeftOut> left_out;
    for (const grouping::Hierarchy* hierarchy : forest.hierarchies()) {
        forest.for_each_living_below(hierarchy->root, [&](const grouping::Group& group) {
            if (group.auto_remove) {
                left_out.push_back({forest.full_path(group.id), "goes when it is empty"});
            }
        });
    }
    return config::write_tree(live_tree(forest, controllers), rules, left_out, style_of);
}

}  // namespace gpcsup::supervisor
