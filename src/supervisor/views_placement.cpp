// Why a process is where it is: `gpcsup why PID`.

#include <charconv>

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

Views::Answer Views::why_process(std::string_view text) {
    pid_t pid = 0;
    (void)std::from_chars(text.data(), text.data() + text.size(), pid);
    from_.facts.refresh_processes();
    const processes::Process* process = from_.table.find(pid);
    if (process == nullptr || process->has(processes::process_dead)) {
        return base::refuse(ENOENT, "there is no process " + std::string(text) + " below this gpc-init",
                            "`gpcsup ps` lists them");
    }
    const std::string unit = unit_of(*process);
    Json places = Json::array();
    for (const grouping::Hierarchy* hierarchy : from_.forest.hierarchies()) {
        places.push_back({{"group", from_.forest.full_path(from_.table.place(*process, hierarchy->id))},
                          {"reason", placement_reason(*process, *hierarchy)}});
    }
    return Json{{"schema", 1}, {"pid", pid}, {"unit", unit.empty() ? Json() : Json(unit)}, {"places", places}}
        .dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace gpcsup::supervisor
