#include "supervisor/groups.h"

#include <fmt/format.h>

#include <algorithm>
#include <ranges>
#include <utility>

#include "grouping/names.h"
#include "supervisor/group_record.h"
#include "supervisor/placement_record.h"
#include "supervisor/records.h"

namespace gpcsup::supervisor {

using grouping::GroupId;
using grouping::HierarchyId;

namespace {

std::string group_key(GroupId group) {
    return fmt::format("group/{:08}", group.value);
}
std::string changing_key(GroupId group) {
    return "changing/" + std::to_string(group.value);
}
std::string settings_key(GroupId group) {
    return fmt::format("settings/{:08}", group.value);
}
constexpr std::size_t most_told = 1000;  // processes in one event

std::string placement_key(std::uint64_t intent) {
    return fmt::format("placement/{}", intent);
}

std::string hierarchy_key(HierarchyId id) {
    return fmt::format("hierarchy/{:02}", id.value);
}

// What happens to groups of `unit` is told by the units' events.
std::string_view told(std::string_view path, std::string_view event) {
    return path.starts_with("unit:") ? std::string_view() : event;
}

}  // namespace

Groups::Groups(grouping::Forest& forest, controllers::ControllerSet& controllers, Chronicle& chronicle)
    : forest_(forest), controllers_(controllers), chronicle_(chronicle) {
    chronicle_.add_rewriter([this](Chronicle&) { rewrite(); });
    controllers_.on_removing([this](GroupId group) { write_group(group, "", Stage::going); });
}

// --- restoring
// -------------------------------------------------------------------------------------------------------------

void Groups::restore_forest(const journal::States& states) {
    each_record(states, "hierarchy/", chronicle_, [&](const std::string& slot, const Json& body) {
        grouping::Hierarchy recorded;
        recorded.id = HierarchyId{static_cast<std::uint32_t>(std::stoul(slot))};
        recorded.name = body.value("name", "");
        recorded.controllers = body.value("controllers", std::vector<std::string>());
        recorded.root = GroupId{body.value("root", 0u)};
        recorded.compat = grouping::compat_named(body.value("compat", "")).value_or(grouping::Compat::none);
        return forest_.restore_hierarchy(recorded);
    });
    each_record(states, "group/", chronicle_, [&](const std::string& number, const Json& body) {
        const GroupId id{static_cast<std::uint32_t>(std::stoul(number))};
        const GroupId parent{body.value("parent", 0u)};
        const std::string name = body.value("name", "");
        auto restored = body.value("dying", false) ? forest_.restore_dying(id, parent, name)
                                                   : forest_.restore_group(id, parent, name);
        if (restored) {
            restore_attributes(*forest_.group(id), body);
        }
        if (restored && body.value("going", false)) {
            going_.push_back(id);
        }
        return restored;
    });
}

base::Result<> Groups::restore_settings(const journal::States& states) {
    if (auto adopted = controllers_.adopt(); !adopted) {
        return adopted;
    }
    each_record(states, "settings/", chronicle_, [&](const std::string& number, const Json& body) {
        const GroupId id{static_cast<std::uint32_t>(std::stoul(number))};
        if (forest_.group(id) == nullptr) {  // its removal was cut off before its last record
            chronicle_.erase("", settings_key(id));
            return;
        }
        for (const controllers::SettingText& setting : settings_in(body)) {
            // The machine may have changed: a setting that cannot be in force now is kept all the same.
            if (auto restored = controllers_.restore_setting(id, setting); !restored) {
                fmt::print(stderr, "gpcsupd: {}\n", restored.error().message());
            }
        }
    });
    controllers_.recover();
    finish_removals();
    each_record(states, "changing/", chronicle_, [&](const std::string& number, const Json& body) {
        const GroupId id{static_cast<std::uint32_t>(std::stoul(number))};
        const auto set = states.find(settings_key(id));
        if (set != states.end() && set->second.sequence > states.at(changing_key(id)).sequence) {
            chronicle_.erase("", changing_key(id));  // it was through
            return;
        }
        const Json before = body.value("before", settings_record({}));
        if (auto taken = controllers_.take_back(id, settings_in(body), settings_in(before)); !taken) {
            fmt::print(stderr, "gpcsupd: {}\n", taken.error().message());
        }
        chronicle_.erase("", changing_key(id));
    });
    return {};
}

// Somebody was killed between the first record of a removal and its last.
void Groups::finish_removals() {
    for (const GroupId id : std::exchange(going_, {}) | std::views::reverse) {  // the lowest first
        if (auto removed = remove(id); !removed) {
            fmt::print(stderr, "gpcsupd: {}\n", removed.error().message());
            write_group(id, "");  // it stays
        }
    }
}

void Groups::settle_placements(const journal::States& states, grouping::Population& population) {
    grouping::Participant* const participants[] = {&controllers_};
    each_record(states, "placement/", chronicle_, [&](const std::string& intent, const Json& body) {
        const auto relocations = moves_of_record(body);
        for (const auto& refusal : grouping::settle(forest_, participants, population, relocations)) {
            fmt::print(stderr, "gpcsupd: taking back a placement that was cut off: {}\n",
                       refusal.error.message());
        }
        chronicle_.erase("attach-undone", placement_key(std::stoull(intent)),
                         {{"intent", std::stoull(intent)}});
    });
}

// --- changing
// --------------------------------------------------------------------------------------------------------------

base::Result<HierarchyId> Groups::create_hierarchy(const std::string& name,
                                                   std::span<const std::string> controllers,
                                                   grouping::Compat compat) {
    const grouping::Hierarchy* before = forest_.find_hierarchy(name);
    const bool existed = before != nullptr && before->name == name;
    auto id = controllers_.create_hierarchy(name, controllers, compat);
    if (id && !existed) {
        if (hierarchy_created_) {
            hierarchy_created_(*id);
        }
        write_hierarchy(*forest_.hierarchy(*id), "hierarchy-created");
    }
    return id;
}

base::Result<> Groups::remove_hierarchy(HierarchyId id) {
    const grouping::Hierarchy* doomed = forest_.hierarchy(id);
    const std::string name = doomed == nullptr ? std::string() : doomed->name;
    const GroupId root = doomed == nullptr ? GroupId{} : doomed->root;
    if (auto removed = controllers_.remove_hierarchy(id); !removed) {
        return removed;
    }
    chronicle_.erase("hierarchy-removed", hierarchy_key(id), {{"hierarchy", name}});
    chronicle_.erase("", settings_key(root));
    return {};
}

base::Result<> Groups::rebind_hierarchy(HierarchyId id, std::span<const std::string> controllers) {
    if (auto rebound = controllers_.rebind(id, controllers); !rebound) {
        return rebound;
    }
    write_hierarchy(*forest_.hierarchy(id), "hierarchy-rebound");
    write_settings(forest_.hierarchy(id)->root, "");  // those of what left are gone
    return {};
}

base::Result<GroupId> Groups::nearest(std::string_view full_path) const {
    auto address = grouping::split_address(full_path);
    if (!address) {
        return base::pass(address);
    }
    const grouping::Hierarchy* hierarchy = forest_.find_hierarchy(address->hierarchy);
    if (hierarchy == nullptr) {
        return forest_.resolve(full_path);  // its error names what there is
    }
    auto walk = forest_.walk(hierarchy->id, address->path);
    return walk ? base::Result<GroupId>(walk->reached) : base::pass(walk);
}

base::Result<GroupId> Groups::create(std::string_view full_path, Parents parents,
                                     std::optional<std::uint32_t> creator) {
    auto above = nearest(full_path);
    if (!above) {
        return above;
    }
    const auto address = grouping::split_address(full_path);
    const HierarchyId hierarchy = forest_.group(*above)->hierarchy;
    if (parents == Parents::must_exist) {
        auto walk = forest_.walk(hierarchy, address->path);
        if (walk->missing.empty()) {
            return base::refuse(EEXIST, "group " + forest_.full_path(*above) + " exists");
        }
        if (walk->missing.size() > 1) {
            auto missing = forest_.resolve(full_path);
            missing.error().hint = "`-p` makes the parents that are missing";
            return missing;
        }
    }
    auto made = controllers_.create_path(hierarchy, address->path);
    if (!made) {
        return made;
    }
    for (GroupId at = *made; creator && at != *above; at = forest_.group(at)->parent) {
        forest_.group(at)->owner = creator;
    }
    write_new(*made, *above, "group-created");
    return made;
}

base::Result<> Groups::remove(GroupId group) {
    const std::string path = forest_.full_path(group);
    if (auto removed = controllers_.remove_group(group); !removed) {
        return removed;
    }
    write_removed(group, path);
    return {};
}

base::Result<> Groups::remove_tree(GroupId top) {
    auto removed = controllers_.remove_tree(top);
    if (!removed) {
        return base::pass(removed);
    }
    for (const controllers::RemovedGroup& each : *removed) {
        write_removed(each.id, each.full_path);
    }
    return {};
}

base::Result<> Groups::rename(GroupId group, std::string_view name) {
    const std::string before = forest_.full_path(group);
    if (auto renamed = forest_.rename_group(group, name); !renamed) {
        return renamed;
    }
    if (forest_.full_path(group) != before) {
        write_group(group, "");
        chronicle_.note("group-renamed", {{"group", forest_.full_path(group)}, {"from", before}});
    }
    return {};
}

base::Result<> Groups::set(GroupId group, std::span<const controllers::SettingText> settings) {
    if (auto agreed = controllers_.check(group, settings); !agreed) {
        return agreed;
    }
    // Members are changed one by one: a successor must know what those have that were reached.
    Json changing = settings_record(settings);
    changing["before"] = settings_record(controllers_.standing(group, settings));
    chronicle_.state("", changing_key(group), changing);
    auto done = controllers_.set(group, settings);
    if (done) {
        write_settings(group, "group-set");
        write_group(group, "");  // group.auto_remove may be among them
        if (set_) {
            set_(group);
        }
        if (changed_) {
            changed_();
        }
    }
    chronicle_.erase("", changing_key(group));
    return done;
}

base::Result<GroupId> Groups::own_group(GroupId parent, std::string_view name, Lifetime lifetime) {
    if (auto existing = forest_.child(parent, name)) {
        return *existing;
    }
    auto made = controllers_.create_group(parent, name);
    if (made) {
        forest_.group(*made)->auto_remove = lifetime == Lifetime::until_empty;
        write_new(*made, parent, told(forest_.full_path(*made), "group-created"));
    }
    return made;
}

base::Result<GroupId> Groups::on_demand(HierarchyId hierarchy, std::string_view path) {
    auto walk = forest_.walk(hierarchy, path);
    if (!walk) {
        return base::pass(walk);
    }
    GroupId at = walk->reached;
    for (const std::string_view part : walk->missing) {
        auto below = own_group(at, part, Lifetime::until_empty);
        if (!below) {
            remove_unused(at);
            return below;
        }
        at = *below;
    }
    return at;
}

void Groups::remove_unused(GroupId group) {
    for (const grouping::Group* at = forest_.group(group);
         at != nullptr && at->auto_remove && at->populated == 0 && at->children.empty();) {
        const GroupId parent = at->parent;
        if (!remove(at->id)) {
            return;
        }
        at = forest_.group(parent);
    }
}

void Groups::remove_or_leave(GroupId group) {
    if (!remove(group) && forest_.group(group) != nullptr) {
        forest_.group(group)->auto_remove = true;
        write_group(group, "");
    }
}

grouping::PlacementOutcome Groups::attach(grouping::Population& population,
                                          const grouping::PlacementRequest& request) {
    grouping::Participant* const participants[] = {&controllers_};
    return grouping::place(forest_, participants, population, *this, request);
}

std::vector<GroupId> Groups::collect_empty(std::span<const GroupId> emptied) {
    auto collected = controllers_.collect_empty(emptied);
    for (const auto& removed : collected.removed) {
        write_removed(removed.id, removed.full_path);
    }
    return std::move(collected.emptied);
}

// --- placement log
// ---------------------------------------------------------------------------------------------------------

base::Result<std::uint64_t> Groups::intend(std::span<const grouping::Relocation> relocations) {
    const std::uint64_t intent = chronicle_.next_sequence();
    if (auto written = chronicle_.intend(placement_key(intent), record_of_moves(relocations)); !written) {
        return base::pass(written);
    }
    intents_[intent].assign(relocations.begin(), relocations.end());
    return intent;
}

Json Groups::event_of(const grouping::Relocation& one) const {
    Json place = Json::object();
    for (const grouping::Hierarchy* hierarchy : forest_.hierarchies()) {
        if (one.from[hierarchy->id.value] != one.to[hierarchy->id.value]) {
            place[hierarchy->name] = forest_.path(one.to[hierarchy->id.value]);
        }
    }
    return place;
}

// The erasure is the commit. An event tells of so many at most: those of a large move come one after another.
base::Result<> Groups::commit(std::uint64_t intent) {
    const auto relocations = intents_.extract(intent);
    Json moved = Json::array();
    Json threads = Json::array();
    Json place;
    const auto body = [&](Json& list) {
        return Json{{"intent", intent}, {"moved", std::exchange(list, Json::array())}};
    };
    const grouping::Relocation* before = nullptr;
    for (const grouping::Relocation& one : relocations.mapped()) {
        if (one.thread && one.from == one.to) {
            continue;  // its process came to where it was
        }
        Json& list = one.thread ? threads : moved;
        if (list.size() == most_told) {
            chronicle_.note(one.thread ? "thread-attached" : "attached", body(list));
        }
        if (before == nullptr || !moves_alike(*before, one)) {
            place = event_of(one);
        }
        before = &one;
        list.push_back({{"pid", one.process.pid}, {"start", one.process.start_time}, {"place", place}});
        if (one.thread) {
            list.back()["tid"] = one.thread->tid;
            list.back()["thread_start"] = one.thread->start_time;
        }
    }
    if (moved.empty()) {
        chronicle_.erase("thread-attached", placement_key(intent), body(threads));
        return {};
    }
    if (!threads.empty()) {
        chronicle_.note("thread-attached", body(threads));
    }
    chronicle_.erase("attached", placement_key(intent), body(moved));
    return {};
}

void Groups::abandon(std::uint64_t intent) {
    chronicle_.erase("", placement_key(intent));
    intents_.erase(intent);
}

// --- writing
// ---------------------------------------------------------------------------------------------------------------

void Groups::write_hierarchy(const grouping::Hierarchy& hierarchy, std::string_view event) {
    Json body = {{"hierarchy", hierarchy.name},
                 {"name", hierarchy.name},
                 {"controllers", hierarchy.controllers},
                 {"root", hierarchy.root.value}};
    if (hierarchy.compat != grouping::Compat::none) {
        body["compat"] = grouping::name_of(hierarchy.compat);
    }
    chronicle_.state(event, hierarchy_key(hierarchy.id), body);
}

void Groups::write_group(GroupId id, std::string_view event, Stage stage) {
    const grouping::Group& group = *forest_.group(id);
    if (group.parent == GroupId{}) {
        return;  // the root is in its hierarchy's record
    }
    Json body = {{"group", forest_.full_path(id)}, {"parent", group.parent.value}, {"name", group.name}};
    add_attributes(group, body);
    if (stage == Stage::going) {
        body["going"] = true;
    }
    chronicle_.state(event, group_key(id), body);
}

// What was made below `above`, the top first.
void Groups::write_new(GroupId id, GroupId above, std::string_view event) {
    std::vector<GroupId> chain;
    for (GroupId at = id; at != above; at = forest_.group(at)->parent) {
        chain.push_back(at);
    }
    for (auto at = chain.rbegin(); at != chain.rend(); ++at) {
        write_group(*at, event);
        if (!controllers_.settings_of(*at).empty()) {  // copies of its parent's
            write_settings(*at, "");
        }
    }
}

// A held group stays, as dying; the journal says so until its last holder lets it go.
void Groups::write_removed(GroupId id, const std::string& path) {
    if (forest_.group(id) != nullptr) {
        write_group(id, "group-dying");
    } else {
        chronicle_.erase(told(path, "group-removed"), group_key(id), {{"group", path}});
    }
    chronicle_.erase("", settings_key(id));
    if (changed_) {
        changed_();
    }
}

void Groups::write_settings(GroupId id, std::string_view event) {
    Json body = settings_record(controllers_.settings_of(id));
    body["group"] = forest_.full_path(id);
    chronicle_.state(event, settings_key(id), body);
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
