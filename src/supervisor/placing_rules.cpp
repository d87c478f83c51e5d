// Placing: what placement rules have to do with it.

#include <algorithm>

#include "supervisor/placing.h"
#include "supervisor/records.h"

namespace gpcsup::supervisor {

using grouping::Places;

namespace {

constexpr std::string_view key_prefix = "ruled/";

}  // namespace

bool Placing::is_placed(const units::Declaration& unit, const grouping::Hierarchy& hierarchy) const {
    return std::ranges::any_of(
        unit.place, [&](const auto& place) { return forest_.find_hierarchy(place.first) == &hierarchy; });
}

// Where [place] says nothing, the rules may. The groups they name are made; the unit does not start where
// that fails, as it does not when a group of [place] is missing.
base::Result<> Placing::rule(const units::Declaration& unit, const std::string& executable, Places& places) {
    RuledPlaces ruled;
    if (!rules_.empty()) {
        const auto choices = rules_.choose(rules_.before_start(unit, executable), forest_);
        for (const grouping::Hierarchy* hierarchy : forest_.hierarchies()) {
            const auto& choice = choices[hierarchy->id.value];
            if (!choice || is_placed(unit, *hierarchy)) {
                continue;
            }
            const grouping::Rule& rule = rules_.rules()[choice->rule];
            if (grouping::names_the_process(rule, hierarchy->name, forest_)) {
                continue;  // its number is known after the start only: the exec of the program places it
            }
            auto group = groups_.on_demand(hierarchy->id, choice->path);
            if (!group) {
                return base::refuse(group.error().code,
                                    "rule " + rule.location + ": " + group.error().message());
            }
            places[hierarchy->id.value] = *group;
            ruled[hierarchy->name] = {choice->path, rules_.mark(choice->rule)};
            chronicle_.note("placed", {{"unit", unit.name},
                                       {"group", forest_.full_path(*group)},
                                       {"rule", choice->rule + 1},
                                       {"location", rule.location},
                                       {"cause", "start"}});
        }
    }
    remember(unit.name, std::move(ruled));
    return {};
}

void Placing::remember(const std::string& unit, RuledPlaces ruled) {
    if (ruled.empty()) {
        return forget(unit);
    }
    RuledPlaces& known = ruled_[unit];
    if (known != ruled) {
        known = std::move(ruled);
        write(unit, known);
    }
}

void Placing::forget(const std::string& unit) {
    if (ruled_.erase(unit) != 0) {
        chronicle_.erase("", std::string(key_prefix) + unit);
    }
}

void Placing::write(const std::string& unit, const RuledPlaces& ruled) {
    Json body = Json::object();
    for (const auto& [hierarchy, one] : ruled) {
        body[hierarchy] = {{"path", one.path}, {"mark", one.mark}};
    }
    chronicle_.state("", std::string(key_prefix) + unit, body);
}

void Placing::restore(const journal::States& states) {
    each_record(states, key_prefix, chronicle_, [this](const std::string& unit, const Json& body) {
        for (const auto& [hierarchy, one] : body.items()) {
            ruled_[unit][hierarchy] = {one.value("path", ""), one.value("mark", grouping::placed_by_nobody)};
        }
    });
}

// [place] and [limits] are somebody's word, and so are -g and -l of `run`: no rule takes the process, nor its
// descendants, away from there.
void Placing::mark(const units::Declaration& unit, processes::Process& process) const {
    std::ranges::fill(process.placed_by, grouping::placed_by_nobody);
    if (const auto ruled = ruled_.find(unit.name); ruled != ruled_.end()) {
        for (const auto& [name, one] : ruled->second) {
            if (const grouping::Hierarchy* hierarchy = forest_.find_hierarchy(name)) {
                process.placed_by[hierarchy->id.value] = one.mark;
            }
        }
    }
    for (const auto& [name, path] : unit.place) {
        if (const grouping::Hierarchy* hierarchy = forest_.find_hierarchy(name)) {
            process.placed_by[hierarchy->id.value] = grouping::placed_explicitly;
        }
    }
    for (const units::Setting& limit : unit.limits) {
        if (auto hierarchy = hierarchy_of_limit(limit)) {
            process.placed_by[hierarchy->value] = grouping::placed_explicitly;
        }
    }
}

}  // namespace gpcsup::supervisor
