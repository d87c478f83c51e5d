#include "control/event_filter.h"

#include <algorithm>
#include <cerrno>
#include <nlohmann/json.hpp>

#include "base/suggestion.h"
#include "control/event_names.h"

namespace gpcsup::control {

namespace {

using Json = nlohmann::json;

std::string text(const Json& object, const char* key) {
    const auto found = object.find(key);
    return found != object.end() && found->is_string() ? found->get<std::string>() : std::string();
}

// "tenant:/a/b" is within "tenant:/a" and within "tenant:/", but not within "tenant:/a/bc".
bool is_within(std::string_view group, std::string_view top) {
    if (!group.starts_with(top)) {
        return false;
    }
    return group.size() == top.size() || top.ends_with('/') || group[top.size()] == '/';
}

// The groups that an event is about: its own, and for a placement where each process went.
std::vector<std::string> groups_of(const Json& event) {
    std::vector<std::string> groups;
    if (std::string own = text(event, "group"); !own.empty()) {
        groups.push_back(std::move(own));
    }
    if (const auto moved = event.find("moved"); moved != event.end() && moved->is_array()) {
        for (const Json& one : *moved) {
            const auto place = one.find("place");
            if (place == one.end() || !place->is_object()) {
                continue;
            }
            for (const auto& [hierarchy, path] : place->items()) {
                if (path.is_string()) {
                    groups.push_back(hierarchy + ":" + path.get<std::string>());
                }
            }
        }
    }
    return groups;
}

bool contains(const std::vector<std::string>& list, const std::string& word) {
    return std::find(list.begin(), list.end(), word) != list.end();
}

}  // namespace

base::Result<> EventFilter::add_event(std::string_view name) {
    if (!is_event_name(name)) {
        std::vector<std::string_view> known;
        for (const EventName& row : event_names) {
            known.push_back(row.name);
        }
        const auto near = base::nearest(name, known);
        return base::refuse(EINVAL, "there is no event \"" + std::string(name) + "\"",
                            near ? "did you mean \"" + std::string(*near) + "\"?" : "gpcsup(1) lists them");
    }
    events_.emplace_back(name);
    return {};
}

base::Result<> EventFilter::add_unit(std::string_view unit) {
    if (unit.empty() || unit.find(':') != std::string_view::npos) {
        return base::refuse(EINVAL, "\"" + std::string(unit) + "\" is not the name of a unit",
                            "--group is for HIERARCHY:PATH");
    }
    units_.emplace_back(unit);
    return {};
}

base::Result<> EventFilter::add_group(std::string_view group) {
    const std::size_t colon = group.find(':');
    if (colon == 0 || colon == std::string_view::npos || group.substr(colon + 1, 1) != "/") {
        return base::refuse(EINVAL, "\"" + std::string(group) + "\" is not HIERARCHY:PATH",
                            "for example: tenant:/acme");
    }
    while (group.ends_with('/') && group.size() > colon + 2) {
        group.remove_suffix(1);
    }
    groups_.emplace_back(group);
    return {};
}

bool EventFilter::accepts(std::string_view line) const {
    if (accepts_all()) {
        return true;
    }
    const Json event = Json::parse(line, nullptr, false);
    if (!event.is_object()) {
        return false;
    }
    if (!events_.empty() && !contains(events_, text(event, "event"))) {
        return false;
    }
    if (!units_.empty() && !contains(units_, text(event, "unit"))) {
        return false;
    }
    const auto about = groups_.empty() ? std::vector<std::string>() : groups_of(event);
    return groups_.empty() || std::any_of(about.begin(), about.end(), [this](const std::string& group) {
               return std::any_of(groups_.begin(), groups_.end(),
                                  [&](const std::string& top) { return is_within(group, top); });
           });
}

}  // namespace gpcsup::control
