// Who, or which rule, put a process where it is: of `gpcsup why PID`; and the threads that are elsewhere.

#include "supervisor/views.h"

namespace gpcsup::supervisor {

std::string Views::placement_reason(const processes::Process& process,
                                    const grouping::Hierarchy& hierarchy) const {
    const grouping::RuleMark mark = process.placed_by[hierarchy.id.value];
    if (hierarchy.id == Placing::unit_hierarchy) {
        return "the unit that started it";
    }
    if (mark == grouping::placed_explicitly) {
        return "placed explicitly, it or an ancestor ([place], [limits], run -g, attach): no rule moves it";
    }
    if (mark == grouping::placed_by_nobody) {
        return "nobody placed it";
    }
    const auto rule = from_.rules.rule_of(mark);
    return rule ? "rule " + std::to_string(*rule + 1) + " (" + from_.rules.rules()[*rule].location +
                      "), which placed it or an ancestor"
                : "a rule that is in force no more";
}

Json Views::placement_reasons(const processes::Process& process) const {
    Json places = Json::array();
    for (const grouping::Hierarchy* hierarchy : from_.forest.hierarchies()) {
        places.push_back({{"group", from_.forest.full_path(from_.table.place(process, hierarchy->id))},
                          {"reason", placement_reason(process, *hierarchy)}});
    }
    return places;
}

Json Views::groups_of(const base::ThreadId& thread) const {
    Json groups = Json::object();
    const grouping::Places* own = from_.threads.find(thread);
    for (const grouping::Hierarchy* hierarchy : from_.forest.hierarchies()) {
        if (own != nullptr && (*own)[hierarchy->id.value].value != 0) {
            groups[hierarchy->name] = from_.forest.path((*own)[hierarchy->id.value]);
        }
    }
    return groups;
}

Json Views::threads_apart_of(const processes::Process& process) const {
    Json list = Json::array();
    for (const base::ThreadId& thread : from_.threads.of(process.id())) {
        list.push_back({{"tid", thread.tid}, {"groups", groups_of(thread)}});
    }
    return list;
}

Json Views::visiting_threads(const control::Caller& caller, grouping::GroupId group) {
    Json list = Json::array();
    const grouping::HierarchyId hierarchy = from_.forest.group(group)->hierarchy;
    for (const base::ThreadId& thread : from_.threads.members_below(group)) {
        const processes::Process* process = from_.table.find(thread.process);
        if (process != nullptr && !from_.forest.is_within(from_.table.place(*process, hierarchy), group)) {
            list.push_back({{"tid", thread.tid},
                            {"pid", thread.process.pid},
                            {"command", command_of(caller, thread.process.pid)},
                            {"groups", groups_of(thread)}});
        }
    }
    return list;
}

Json Views::place_of(const base::ThreadId& thread) const {
    const processes::Process* process = from_.table.find(thread.process);
    Json place = process == nullptr ? Json::object() : place_of(*process);
    place.update(groups_of(thread));
    return place;
}

}  // namespace gpcsup::supervisor
