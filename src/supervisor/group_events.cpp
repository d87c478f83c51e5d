#include "supervisor/group_events.h"

#include <fmt/format.h>

#include "supervisor/placing.h"
#include "supervisor/records.h"

namespace gpcsup::supervisor {

using grouping::GroupId;

namespace {

constexpr std::string_view prefix = "populated/";

std::string key_of(GroupId group) {
    return fmt::format("{}{:08}", prefix, group.value);
}

}  // namespace

void GroupEvents::restore(const journal::States& states) {
    each_record(states, prefix, chronicle_, [this](const std::string& number, const Json& body) {
        told_populated_[GroupId{static_cast<std::uint32_t>(std::stoul(number))}] = body.value("group", "");
    });
}

const grouping::Group* GroupEvents::watched(GroupId id) const {
    const grouping::Group* group = forest_.group(id);
    return group == nullptr || group->hierarchy == Placing::unit_hierarchy ? nullptr : group;
}

std::vector<GroupId> GroupEvents::compare_all() {
    (void)forest_.take_flipped();  // of the adoption: what counts is what had been told
    std::vector<GroupId> emptied;
    for (const auto& [id, path] : told_populated_) {
        const grouping::Group* group = watched(id);
        if (group == nullptr || group->populated == 0) {
            emptied.push_back(id);
        }
    }
    for (const GroupId id : emptied) {
        tell_empty(id);
    }
    for (const grouping::Hierarchy* hierarchy : forest_.hierarchies()) {
        if (hierarchy->id == Placing::unit_hierarchy) {
            continue;
        }
        std::vector<GroupId> populated;
        forest_.for_each_below(hierarchy->root, [&](const grouping::Group& group) {
            if (group.populated > 0 && !told_populated_.contains(group.id)) {
                populated.push_back(group.id);
            }
        });
        for (const GroupId id : populated) {
            tell_populated(id);
        }
    }
    return emptied;
}

void GroupEvents::flipped(GroupId id) {
    const bool was = told_populated_.contains(id);
    const grouping::Group* group = watched(id);
    if (group == nullptr || group->dying) {
        if (was) {
            tell_empty(id);
        }
        return;
    }
    if (was) {
        tell_empty(id);
        if (group->populated > 0) {
            tell_populated(id);
        }
    } else {
        tell_populated(id);
        if (group->populated == 0) {
            tell_empty(id);
        }
    }
}

void GroupEvents::tell_populated(GroupId id) {
    const std::string path = forest_.full_path(id);
    told_populated_[id] = path;
    chronicle_.state("group-populated", key_of(id), {{"group", path}});
}

void GroupEvents::tell_empty(GroupId id) {
    const auto told = told_populated_.find(id);
    if (told == told_populated_.end()) {
        return;
    }
    const std::string path = forest_.group(id) != nullptr ? forest_.full_path(id) : told->second;
    told_populated_.erase(told);
    chronicle_.erase("group-empty", key_of(id), {{"group", path}});
}

}  // namespace gpcsup::supervisor
