#include "supervisor/groups.h"

#include <fmt/format.h>

#include <algorithm>

#include "grouping/names.h"

namespace gpcsup::supervisor {

using grouping::GroupId;
using grouping::HierarchyId;

namespace {

std::string group_key(GroupId group) {
    return fmt::format("group/{:08}", group.value);
}
std::string settings_key(GroupId group) {
    return fmt::format("settings/{:08}", group.value);
}
std::string placement_key(std::uint64_t intent) {
    return fmt::format("placement/{}", intent);
}

Json places_to_json(const grouping::Places& places) {
    Json list = Json::array();
    for (const GroupId group : places) {
        list.push_back(group.value);
    }
    return list;
}

grouping::Places places_from_json(const Json& list) {
    grouping::Places places{};
    for (std::size_t slot = 0; slot < places.size() && slot < list.size(); ++slot) {
        places[slot] = GroupId{list[slot].get<std::uint32_t>()};
    }
    return places;
}

// Every record of one kind, in the order of their keys.
template <class Visit>
base::Result<> each(const journal::States& states, std::string_view prefix, Visit&& visit) {
    for (auto at = states.lower_bound(prefix); at != states.end() && at->first.starts_with(prefix); ++at) {
        const Json body = Json::parse(at->second.body, nullptr, false);
        if (!body.is_object()) {
            return base::fail(EPROTO, "read the journal's record", at->first);
        }
        if (base::Result<> done = visit(at->first.substr(prefix.size()), body); !done) {
            return done;
        }
    }
    return {};
}

}  // namespace

Groups::Groups(grouping::Forest& forest, controllers::ControllerSet& controllers, Chronicle& chronicle)
    : forest_(forest), controllers_(controllers), chronicle_(chronicle) {
    chronicle_.add_rewriter([this](Chronicle&) { rewrite(); });
}

// --- restoring
// -------------------------------------------------------------------------------------------------------------

base::Result<> Groups::restore_forest(const journal::States& states) {
    auto hierarchies = each(states, "hierarchy/", [&](const std::string& slot, const Json& body) {
        grouping::Hierarchy recorded;
        recorded.id = HierarchyId{static_cast<std::uint32_t>(std::stoul(slot))};
        recorded.name = body.value("name", "");
        recorded.controllers = body.value("controllers", std::vector<std::string>());
        recorded.root = GroupId{body.value("root", 0u)};
        return forest_.restore_hierarchy(recorded);
    });
    if (!hierarchies) {
        return hierarchies;
    }
    return each(states, "group/", [&](const std::string& number, const Json& body) -> base::Result<> {
        const GroupId id{static_cast<std::uint32_t>(std::stoul(number))};
        if (auto restored =
                forest_.restore_group(id, GroupId{body.value("parent", 0u)}, body.value("name", ""));
            !restored) {
            return restored;
        }
        forest_.group(id)->auto_remove = body.value("auto_remove", false);
        return {};
    });
}

base::Result<> Groups::restore_settings(const journal::States& states) {
    if (auto adopted = controllers_.adopt(); !adopted) {
        return adopted;
    }
    return each(states, "settings/", [&](const std::string& number, const Json& body) -> base::Result<> {
        const GroupId id{static_cast<std::uint32_t>(std::stoul(number))};
        for (const auto& [name, value] : body["settings"].items()) {
            // The machine may have changed: a setting that cannot be in force now is kept all the same.
            if (auto restored = controllers_.restore_setting(id, {name, value.get<std::string>()});
                !restored) {
                fmt::print(stderr, "gpcsupd: {}\n", restored.error().message());
            }
        }
        return {};
    });
}

void Groups::settle_placements(const journal::States& states, grouping::Population& population) {
    grouping::Participant* const participants[] = {&controllers_};
    (void)each(states, "placement/", [&](const std::string& intent, const Json& body) -> base::Result<> {
        std::vector<grouping::Relocation> relocations;
        for (const Json& one : body["processes"]) {
            relocations.push_back(
                {{one["pid"], one["start"]}, places_from_json(one["from"]), places_from_json(one["to"])});
        }
        for (const auto& refusal :
             grouping::settle(forest_, participants, population, relocations, grouping::Settlement::undo)) {
            fmt::print(stderr, "gpcsupd: taking back a placement that was cut off: {}\n",
                       refusal.error.message());
        }
        chronicle_.erase("attach-undone", placement_key(std::stoull(intent)),
                         {{"intent", std::stoull(intent)}});
        return {};
    });
}

// --- changing
// --------------------------------------------------------------------------------------------------------------

base::Result<HierarchyId> Groups::create_hierarchy(const std::string& name,
                                                   std::span<const std::string> controllers) {
    auto id = controllers_.create_hierarchy(name, controllers);
    if (id) {
        write_hierarchy(*forest_.hierarchy(*id), "hierarchy-created");
        write_group(forest_.hierarchy(*id)->root, "");
    }
    return id;
}

base::Result<GroupId> Groups::create(std::string_view full_path, Parents parents) {
    auto address = grouping::split_address(full_path);
    if (!address) {
        return base::pass(address);
    }
    const grouping::Hierarchy* hierarchy = forest_.find_hierarchy(address->hierarchy);
    if (hierarchy == nullptr) {
        auto unknown = forest_.resolve(full_path);  // its error names what there is
        return base::pass(unknown);
    }
    if (parents == Parents::made) {
        auto made = controllers_.create_path(hierarchy->id, address->path);
        if (made) {
            write_path(*made, "group-created");
        }
        return made;
    }
    const std::size_t slash = address->path.rfind('/');
    const std::string_view above =
        slash == 0 || slash == std::string_view::npos ? "/" : address->path.substr(0, slash);
    auto parent = forest_.resolve(hierarchy->name + ":" + std::string(above));
    if (!parent) {
        parent.error().hint = "`-p` makes the parents that are missing";
        return base::pass(parent);
    }
    auto made = controllers_.create_group(
        *parent, address->path.substr(slash == std::string_view::npos ? 0 : slash + 1));
    if (made) {
        write_group(*made, "group-created");
    }
    return made;
}

base::Result<> Groups::remove(GroupId group) {
    const std::string path = forest_.full_path(group);
    if (auto removed = controllers_.remove_group(group); !removed) {
        return removed;
    }
    chronicle_.erase("", settings_key(group));
    chronicle_.erase("group-removed", group_key(group), {{"group", path}});
    return {};
}

base::Result<> Groups::rename(GroupId group, std::string_view name) {
    if (auto renamed = forest_.rename_group(group, name); !renamed) {
        return renamed;
    }
    write_group(group, "group-renamed");
    return {};
}

base::Result<> Groups::set(GroupId group, std::span<const controllers::SettingText> settings) {
    auto done = controllers_.set(group, settings);
    if (done) {
        write_settings(group, "group-set");
        write_group(group, "");  // group.auto_remove may be among them
    }
    return done;
}

base::Result<GroupId> Groups::own_group(GroupId parent, std::string_view name, Lifetime lifetime) {
    if (auto existing = forest_.child(parent, name)) {
        return *existing;
    }
    auto made = controllers_.create_group(parent, name);
    if (made) {
        forest_.group(*made)->auto_remove = lifetime == Lifetime::until_empty;
        write_group(*made, "");
    }
    return made;
}

grouping::PlacementOutcome Groups::attach(grouping::Population& population,
                                          const grouping::PlacementRequest& request) {
    grouping::Participant* const participants[] = {&controllers_};
    return grouping::place(forest_, participants, population, *this, request);
}

std::vector<GroupId> Groups::collect_empty() {
    auto collected = controllers_.collect_empty();
    for (const auto& removed : collected.removed) {
        chronicle_.erase("", settings_key(removed.id));
        chronicle_.erase("", group_key(removed.id));
    }
    return std::move(collected.emptied);
}

// --- placement log
// ---------------------------------------------------------------------------------------------------------

base::Result<std::uint64_t> Groups::intend(std::span<const grouping::Relocation> relocations) {
    Json processes = Json::array();
    for (const grouping::Relocation& one : relocations) {
        processes.push_back({{"pid", one.process.pid},
                             {"start", one.process.start_time},
                             {"from", places_to_json(one.from)},
                             {"to", places_to_json(one.to)}});
    }
    const std::uint64_t intent = chronicle_.next_sequence();
    chronicle_.state("", placement_key(intent), {{"processes", processes}});
    Json moved = Json::array();
    for (const grouping::Relocation& one : relocations) {
        Json place = Json::object();
        for (const grouping::Hierarchy* hierarchy : forest_.hierarchies()) {
            if (one.from[hierarchy->id.value] != one.to[hierarchy->id.value]) {
                place[hierarchy->name] = forest_.path(one.to[hierarchy->id.value]);
            }
        }
        moved.push_back({{"pid", one.process.pid}, {"start", one.process.start_time}, {"place", place}});
    }
    intents_[intent] = {{"intent", intent}, {"moved", moved}};
    return intent;
}

base::Result<> Groups::commit(std::uint64_t intent) {
    chronicle_.erase("attached", placement_key(intent), intents_[intent]);
    intents_.erase(intent);
    return {};
}

void Groups::abandon(std::uint64_t intent) {
    chronicle_.erase("", placement_key(intent));
    intents_.erase(intent);
}

// --- writing
// ---------------------------------------------------------------------------------------------------------------

void Groups::write_hierarchy(const grouping::Hierarchy& hierarchy, std::string_view event) {
    chronicle_.state(event, fmt::format("hierarchy/{:02}", hierarchy.id.value),
                     {{"hierarchy", hierarchy.name},
                      {"name", hierarchy.name},
                      {"controllers", hierarchy.controllers},
                      {"root", hierarchy.root.value}});
}

void Groups::write_group(GroupId id, std::string_view event) {
    const grouping::Group& group = *forest_.group(id);
    if (group.parent == GroupId{}) {
        return;  // the root is in its hierarchy's record
    }
    chronicle_.state(event, group_key(id),
                     {{"group", forest_.full_path(id)},
                      {"parent", group.parent.value},
                      {"name", group.name},
                      {"auto_remove", group.auto_remove}});
}

void Groups::write_path(GroupId id, std::string_view event) {
    std::vector<GroupId> chain;
    for (GroupId at = id; at != GroupId{}; at = forest_.group(at)->parent) {
        chain.push_back(at);
    }
    for (auto at = chain.rbegin(); at != chain.rend(); ++at) {
        write_group(*at, *at == id ? event : "");
    }
}

void Groups::write_settings(GroupId id, std::string_view event) {
    Json settings = Json::object();
    for (const controllers::SettingText& setting : controllers_.settings_of(id)) {
        settings[setting.name] = setting.value;
    }
    chronicle_.state(event, settings_key(id), {{"group", forest_.full_path(id)}, {"settings", settings}});
}

void Groups::rewrite() {
    for (const grouping::Hierarchy* hierarchy : forest_.hierarchies()) {
        write_hierarchy(*hierarchy, "");
        forest_.for_each_below(hierarchy->root, [&](const grouping::Group& group) {
            write_group(group.id, "");
            if (!controllers_.settings_of(group.id).empty()) {
                write_settings(group.id, "");
            }
        });
    }
}

}  // namespace gpcsup::supervisor
