// Who, or which rule, put a process where it is: of `gpcsup why PID`.

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

}  // namespace gpcsup::supervisor
