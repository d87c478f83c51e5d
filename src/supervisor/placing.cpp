#include "supervisor/placing.h"

#include <cerrno>

namespace gpcsup::supervisor {

using grouping::GroupId;
using grouping::HierarchyId;
using grouping::Places;

Placing::Placing(grouping::Forest& forest, Groups& groups, RuleBook& rules, Chronicle& chronicle)
    : forest_(forest), groups_(groups), rules_(rules), chronicle_(chronicle) {
    chronicle_.add_rewriter([this](Chronicle&) {
        for (const auto& [unit, ruled] : ruled_) {
            write(unit, ruled);
        }
    });
}

// The first group on the way that is missing, and what to type.
base::Result<GroupId> Placing::named(const std::string& address) const {
    auto group = forest_.resolve(address);
    const bool is_known = forest_.find_hierarchy(address.substr(0, address.find(':'))) != nullptr;
    if (!group && group.error().code == ENOENT && is_known) {
        std::string& hint = group.error().hint;
        hint += (hint.empty() ? "" : " ") + ("`gpcsup group create -p " + address + "` makes it");
    }
    return group;
}

base::Result<> Placing::check_places(const units::Declaration& unit) const {
    for (const auto& [hierarchy, path] : unit.place) {
        if (auto group = named(hierarchy + ":" + path); !group) {
            return base::pass(group);
        }
    }
    return {};
}

base::Result<Places> Placing::declared(const units::Declaration& unit) const {
    Places places{};
    for (const grouping::Hierarchy* hierarchy : forest_.hierarchies()) {
        places[hierarchy->id.value] = hierarchy->root;
    }
    for (const auto& [hierarchy, path] : unit.place) {
        auto group = named(hierarchy + ":" + path);
        if (!group) {
            group.error().tried = "place: " + group.error().tried;
            return base::pass(group);
        }
        places[forest_.group(*group)->hierarchy.value] = *group;
    }
    return places;
}

base::Result<HierarchyId> Placing::hierarchy_of_limit(const units::Setting& limit) const {
    const std::string controller = limit.attribute.substr(0, limit.attribute.find('.'));
    const grouping::Hierarchy* hierarchy = forest_.find_hierarchy(controller);
    if (hierarchy == nullptr) {
        return base::refuse(
            ENOENT, "limits: the controller " + controller + " of " + limit.attribute + " is in no hierarchy",
            "bind it with gpcsup hierarchy create or rebind, or in gpcsup.toml: [hierarchy.NAME] controllers "
            "= "
            "[\"" +
                controller + "\"]");
    }
    return hierarchy->id;
}

base::Result<Places> Placing::prepare(const units::Declaration& unit, const std::string& executable) {
    auto places = declared(unit);
    if (!places) {
        return places;
    }
    if (auto ruled = rule(unit, executable, *places); !ruled) {
        return base::pass(ruled);
    }
    auto own = groups_.own_group((*places)[unit_hierarchy.value], unit.name, Groups::Lifetime::until_removed);
    if (!own) {
        return base::pass(own);
    }
    (*places)[unit_hierarchy.value] = *own;
    std::map<HierarchyId, std::vector<controllers::SettingText>> limits;
    for (const units::Setting& limit : unit.limits) {
        auto hierarchy = hierarchy_of_limit(limit);
        if (!hierarchy) {
            return base::pass(hierarchy);
        }
        limits[*hierarchy].push_back({limit.attribute, limit.value});
    }
    for (const auto& [hierarchy, settings] : limits) {
        auto group = groups_.own_group((*places)[hierarchy.value], unit.name, Groups::Lifetime::until_empty);
        if (!group) {
            return base::pass(group);
        }
        if (auto set = groups_.set(*group, settings); !set) {
            return base::pass(set);
        }
        (*places)[hierarchy.value] = *group;
    }
    return places;
}

void Placing::withdraw(const units::Declaration& unit) {
    for (const auto& [hierarchy, path] : paths_of(unit)) {
        if (auto group = groups_.nearest(hierarchy + ":" + path)) {  // it may have failed half way down
            groups_.remove_unused(*group);
        }
    }
}

Places Placing::existing(const units::Declaration& unit) const {
    Places places{};
    for (const auto& [hierarchy, path] : paths_of(unit)) {
        if (auto group = forest_.resolve(hierarchy + ":" + path)) {
            places[forest_.group(*group)->hierarchy.value] = *group;
        }
    }
    return places;
}

std::map<std::string, std::string> Placing::paths_of(const units::Declaration& unit) const {
    std::map<std::string, std::string> place;
    for (const grouping::Hierarchy* hierarchy : forest_.hierarchies()) {
        place[hierarchy->name] = "/";
    }
    place["unit"] = "/" + unit.name;
    for (const auto& [name, path] : unit.place) {
        const grouping::Hierarchy* hierarchy = forest_.find_hierarchy(name);
        place[hierarchy == nullptr ? name : hierarchy->name] = path;
    }
    if (const auto ruled = ruled_.find(unit.name); ruled != ruled_.end()) {
        for (const auto& [name, one] : ruled->second) {
            const grouping::Hierarchy* hierarchy = forest_.find_hierarchy(name);
            if (hierarchy != nullptr && !is_placed(unit, *hierarchy)) {
                place[name] = one.path;
            }
        }
    }
    std::map<HierarchyId, std::string> own;
    for (const units::Setting& limit : unit.limits) {
        if (auto hierarchy = hierarchy_of_limit(limit)) {
            std::string& path = place[forest_.hierarchy(*hierarchy)->name];
            if (!own.contains(*hierarchy)) {
                path += (path.ends_with('/') ? "" : "/") + unit.name;
                own[*hierarchy] = path;
            }
        }
    }
    return place;
}

std::string Placing::unit_of(GroupId group) const {
    const grouping::Group* found = forest_.group(group);
    return found == nullptr || found->hierarchy != unit_hierarchy ? std::string() : found->name;
}

std::optional<GroupId> Placing::group_of(std::string_view unit) const {
    return forest_.child(forest_.hierarchy(unit_hierarchy)->root, unit);
}

}  // namespace gpcsup::supervisor
