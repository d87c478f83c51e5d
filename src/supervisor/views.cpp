#include "supervisor/views.h"

#include <sys/stat.h>

#include <algorithm>

#include "controllers/describe.h"
#include "supervisor/group_record.h"
#include "units/settings.h"

namespace gpcsup::supervisor {

using grouping::GroupId;
using grouping::Places;

namespace {

std::string_view state_of(const grouping::Group& group) {
    return group.dying ? "dying" : "live";
}

Json compat_json(const grouping::Hierarchy& hierarchy) {
    return hierarchy.compat == grouping::Compat::none ? Json() : Json(grouping::name_of(hierarchy.compat));
}

template <class... Kinds>
struct Overloaded : Kinds... {
    using Kinds::operator()...;
};
template <class... Kinds>
Overloaded(Kinds...) -> Overloaded<Kinds...>;

}  // namespace

Json value_to_json(const controllers::Value& value) {
    return std::visit(
        Overloaded{[](controllers::Max) { return Json(); }, [](bool flag) { return Json(flag); },
                   [](std::uint64_t number) { return Json(number); },
                   [](const std::string& text) { return Json(text); }},
        value);
}

std::string Views::unit_of(const processes::Process& process) const {
    return from_.placing.unit_of(from_.table.place(process, Placing::unit_hierarchy));
}

Json Views::place_of(const processes::Process& process) const {
    Json place = Json::object();
    for (const grouping::Hierarchy* hierarchy : from_.forest.hierarchies()) {
        place[hierarchy->name] = from_.forest.path(from_.table.place(process, hierarchy->id));
    }
    return place;
}

// Arguments are for root, the supervisor's own user and the process's own user; the others see the program's
// name.
std::string Views::command_of(const control::Caller& caller, pid_t pid) {
    struct stat owner {};
    const bool permitted =
        audience_of(caller) == units::Audience::owner ||
        (stat(("/proc/" + std::to_string(pid)).c_str(), &owner) == 0 && owner.st_uid == caller.uid);
    if (permitted) {
        if (auto line = from_.files.command_line(pid); line && !line->empty()) {
            while (line->ends_with('\0')) {
                line->pop_back();
            }
            std::replace(line->begin(), line->end(), '\0', ' ');
            return *line;
        }
    }
    auto fields = from_.files.stat(pid);
    return fields ? "[" + fields->name + "]" : "[gone]";
}

// What is the same for all processes of one combination of groups is made once.
const Json& Views::shared_facts(Shared& shared, const processes::Process& process) const {
    const auto [found, is_new] = shared.try_emplace(process.book);
    if (is_new) {
        const std::string unit = unit_of(process);
        found->second = {unit.empty() ? Json() : Json(unit), place_of(process)};
    }
    return found->second;
}

void Views::add_process(const control::Caller& caller, const processes::Process& process, Shared& shared,
                        Json& list) {
    const Json& facts = shared_facts(shared, process);
    list.push_back({{"pid", process.pid},
                    {"ppid", process.parent},
                    {"command", command_of(caller, process.pid)},
                    {"unit", facts[0]},
                    {"threads", process.threads},
                    {"place", facts[1]}});
    if (Json enforcement = from_.facts.enforcement_of(process); !enforcement.empty()) {
        list.back()["enforcement"] = std::move(enforcement);
    }
    if (Json apart = threads_apart_of(process); !apart.empty()) {
        list.back()["threads_apart"] = std::move(apart);
    }
}

Views::Answer Views::processes(const control::Caller& caller, std::string_view what) {
    from_.facts.refresh_processes();
    GroupId top = from_.forest.hierarchy(Placing::unit_hierarchy)->root;
    if (what.contains(':')) {
        auto group = from_.forest.resolve(what);
        if (!group) {
            return base::pass(group);
        }
        top = *group;
    } else if (!what.empty()) {
        if (from_.engine.find(what) == nullptr) {
            return base::refuse(ENOENT, "there is no unit " + std::string(what));
        }
        auto group = from_.placing.group_of(what);
        if (!group) {
            return text_of({{"schema", 1}, {"processes", Json::array()}});
        }
        top = *group;
    }
    std::vector<const processes::Process*> members;
    from_.table.for_each_member_below(top, [&](processes::Process& process) {
        if (!process.has(processes::process_helper)) {
            members.push_back(&process);
        }
    });
    std::sort(members.begin(), members.end(),
              [](const auto* left, const auto* right) { return left->pid < right->pid; });
    Json list = Json::array();
    Shared shared;
    for (const processes::Process* process : members) {
        add_process(caller, *process, shared, list);
    }
    Json answer{{"schema", 1}, {"processes", std::move(list)}};
    if (Json threads = visiting_threads(caller, top); !threads.empty()) {
        answer["threads"] = std::move(threads);
    }
    return text_of(answer);
}

Json Views::group_tree(const control::Caller& caller, GroupId id, Commands& commands) {
    const grouping::Group& group = *from_.forest.group(id);
    Json members = Json::array();
    from_.table.for_each_member(id, [&](processes::Process& process) {
        if (!process.has(processes::process_helper)) {
            const auto [command, is_new] = commands.try_emplace(process.pid);
            if (is_new) {  // a process is in the tree of every hierarchy
                command->second = command_of(caller, process.pid);
            }
            members.push_back({{"pid", process.pid}, {"command", command->second}});
        }
    });
    Json attributes = Json::object();
    for (const controllers::SettingText& setting : from_.controllers.settings_of(id)) {
        attributes[setting.name] = setting.value;
    }
    if (group.frozen) {
        attributes["group.frozen"] = "true";
    }
    Json children = Json::array();
    for (const GroupId child : group.children) {
        children.push_back(group_tree(caller, child, commands));
    }
    return {{"name", group.name},
            {"path", from_.forest.path(id)},
            {"state", state_of(group)},
            {"processes", std::move(members)},
            {"children", std::move(children)},
            {"attributes", std::move(attributes)}};
}

Views::Answer Views::tree(const control::Caller& caller, std::string_view name) {
    from_.facts.refresh_processes();
    Json list = Json::array();
    Commands commands;
    for (const grouping::Hierarchy* hierarchy : from_.forest.hierarchies()) {
        if (name.empty() || hierarchy == from_.forest.find_hierarchy(name)) {
            list.push_back({{"name", hierarchy->name},
                            {"controllers", hierarchy->controllers},
                            {"compat", compat_json(*hierarchy)},
                            {"root", group_tree(caller, hierarchy->root, commands)}});
        }
    }
    if (list.empty()) {
        return base::refuse(ENOENT, "there is no hierarchy " + std::string(name),
                            "`gpcsup hierarchy list` shows them");
    }
    return text_of({{"schema", 1}, {"hierarchies", std::move(list)}});
}

// An unbound controller has no hierarchy and no groups: what it accounts in one place.
Views::Answer Views::get_unbound(std::string_view controller, std::string_view attribute) {
    from_.facts.refresh_processes();
    Json attributes = Json::object();
    for (const controllers::NamedValue& one : from_.controllers.get_unbound(controller)) {
        if (attribute.empty() || one.name == attribute) {
            attributes[one.name] = value_to_json(one.value);
        }
    }
    if (attributes.empty()) {
        auto known = controllers::find_attribute(attribute);
        return known ? base::refuse(EINVAL, std::string(attribute) + " is not an attribute of controller " +
                                                std::string(controller))
                     : base::pass(known);
    }
    return text_of({{"schema", 1},
                    {"group", std::string(controller) + ":/"},
                    {"unbound", true},
                    {"attributes", attributes}});
}

Views::Answer Views::get(std::string_view name, std::string_view attribute) {
    if (const auto controller = from_.controllers.unbound_account(name)) {
        return get_unbound(*controller, attribute);
    }
    auto group = from_.forest.resolve(name);
    if (!group) {
        return base::pass(group);
    }
    from_.facts.refresh_processes();
    Json attributes = Json::object();
    if (attribute.empty()) {
        for (const controllers::NamedValue& one : from_.controllers.get_all(*group)) {
            attributes[one.name] = value_to_json(one.value);
        }
    } else {
        auto value = from_.controllers.get(*group, attribute);
        if (!value) {
            return base::pass(value);
        }
        attributes[std::string(attribute)] = value_to_json(*value);
    }
    return text_of({{"schema", 1}, {"group", from_.forest.full_path(*group)}, {"attributes", attributes}});
}

Views::Answer Views::hierarchies() {
    Json list = Json::array();
    for (const grouping::Hierarchy* hierarchy : from_.forest.hierarchies()) {
        const grouping::Group& root = *from_.forest.group(hierarchy->root);
        list.push_back({{"name", hierarchy->name},
                        {"controllers", hierarchy->controllers},
                        {"compat", compat_json(*hierarchy)},
                        {"groups", root.descendants + 1},
                        {"dying", from_.forest.group_count(hierarchy->id) - root.descendants - 1},
                        {"processes", root.processes_below()}});
    }
    Json unbound = Json::array();
    for (const std::string_view controller : from_.controllers.unbound()) {
        unbound.push_back(controller);
    }
    return text_of({{"schema", 1}, {"hierarchies", list}, {"unbound", unbound}});
}

Views::Answer Views::groups(std::string_view prefix) {
    Json list = Json::array();
    const auto show = [&](const grouping::Group& group) {
        const std::string unit = group.hierarchy == Placing::unit_hierarchy ? group.name : std::string();
        const auto living = std::ranges::count_if(
            group.children, [&](GroupId child) { return !from_.forest.group(child)->dying; });
        list.push_back({{"group", from_.forest.full_path(group.id)},
                        {"state", state_of(group)},
                        {"processes", group.processes_below()},
                        {"children", living},
                        {"populated", group.populated > 0},
                        {"unit", unit.empty() ? Json() : Json(unit)},
                        {"held_by", holders_of(group)}});
    };
    if (!prefix.empty()) {
        const grouping::Hierarchy* hierarchy =
            prefix.contains(':') ? nullptr : from_.forest.find_hierarchy(prefix);
        auto top =
            hierarchy != nullptr ? base::Result<GroupId>(hierarchy->root) : from_.forest.resolve(prefix);
        if (!top) {
            return base::pass(top);
        }
        from_.forest.for_each_below(*top, show);
    } else {
        for (const grouping::Hierarchy* hierarchy : from_.forest.hierarchies()) {
            from_.forest.for_each_below(hierarchy->root, show);
        }
    }
    return text_of({{"schema", 1}, {"groups", list}});
}

Views::Answer Views::describe(std::string_view what) {
    Json list = Json::array();
    if (what == "settings") {
        for (const units::SettingRow& row : units::settings()) {
            list.push_back({{"key", units::full_key(row)},
                            {"type", units::type_text(row.type)},
                            {"default", row.default_text},
                            {"help", row.help}});
        }
        return text_of({{"schema", 1}, {"settings", list}});
    }
    if (what != "attributes") {
        return base::refuse(EINVAL, "describe what? \"settings\" or \"attributes\"");
    }
    for (const controllers::AttributeDescription& one : controllers::describe_attributes()) {
        list.push_back({{"name", one.name},
                        {"controller", one.controller},
                        {"type", one.type_text},
                        {"unit", one.unit},
                        {"access", one.access == controllers::Access::read_only ? "read" : "write"},
                        {"default", one.default_text},
                        {"default_2006", one.default_of_2006.empty() ? Json() : Json(one.default_of_2006)},
                        {"help", one.help},
                        {"completion", one.completion}});
    }
    return text_of({{"schema", 1}, {"attributes", list}});
}

}  // namespace gpcsup::supervisor
