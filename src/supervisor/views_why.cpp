// Views that explain: why a unit is in its state, what is in the way of a group, how a process came to its
// places. What was refused is read back from the journal.

#include <algorithm>
#include <charconv>

#include "processes/attribution.h"
#include "supervisor/views.h"
#include "units/names.h"

namespace gpcsup::supervisor {

using grouping::GroupId;

namespace {

constexpr std::size_t most_processes = 100;  // of a group in the way: enough to see what they are

// A refused attach names all the groups it was for, with spaces between.
bool names_group(const Json& body, std::string_view path) {
    const std::string groups = " " + body.value("group", Json("")).get<std::string>() + " ";
    return groups.find(" " + std::string(path) + " ") != std::string::npos;
}

// Events of before identities were written have no start time, and are not taken for this process's.
bool is_of(const Json& item, base::ProcessId id) {
    return item.is_object() && item.value("pid", 0) == id.pid &&
           item.value("start", std::uint64_t{0}) == id.start_time;
}

}  // namespace

Views::Answer Views::why(const control::Caller& caller, std::string_view what) {
    from_.facts.refresh_processes();
    if (what.contains(':')) {
        return why_group(caller, what);
    }
    const bool number =
        !what.empty() && std::ranges::all_of(what, [](char c) { return c >= '0' && c <= '9'; });
    return number ? why_process(caller, what) : why_unit(what);
}

// --- a unit
// ----------------------------------------------------------------------------------------------------------------

Views::Answer Views::why_unit(std::string_view name) {
    const units::UnitState* state = from_.engine.find(name);
    if (state == nullptr) {
        return base::refuse(ENOENT, "there is no unit " + std::string(name), "`gpcsup list` shows them");
    }
    Json causes = Json::array();
    std::vector<std::string> chain{std::string(name)};
    for (const std::string& cause : from_.engine.why(name)) {
        if (cause != name) {
            chain.push_back(cause);
        }
    }
    for (const std::string& unit : chain) {
        const units::UnitState* one = from_.engine.find(unit);
        const Json event = from_.chronicle.last_event_of(unit);
        causes.push_back({{"unit", unit},
                          {"state", one == nullptr ? "unknown" : units::name_of(one->state)},
                          {"reason", one == nullptr ? "there is no such unit" : from_.engine.reason(unit)},
                          {"time", event.is_object() ? event["time"] : Json()},
                          {"seq", event.is_object() ? event["seq"] : Json()}});
    }
    return text_of(
        {{"schema", 1}, {"unit", name}, {"state", units::name_of(state->state)}, {"causes", causes}});
}

// --- a group
// ---------------------------------------------------------------------------------------------------------------

Views::Answer Views::why_group(const control::Caller& caller, std::string_view name) {
    const auto id = from_.forest.resolve(name);
    if (!id) {
        return std::unexpected(id.error());
    }
    const grouping::Group& group = *from_.forest.group(*id);
    const std::string path = from_.forest.full_path(*id);
    Json children = Json::array();
    for (const GroupId child : group.children) {
        children.push_back(from_.forest.full_path(child));
    }
    Json members = Json::array();
    from_.table.for_each_member(*id, [&](processes::Process& process) {
        if (members.size() < most_processes) {
            members.push_back({{"pid", process.pid}, {"command", command_of(caller, process.pid)}});
        }
    });
    Json threads = Json::array();
    for (const base::ThreadId& thread : from_.threads.members(*id)) {
        if (threads.size() < most_processes) {
            threads.push_back({{"tid", thread.tid},
                               {"pid", thread.process.pid},
                               {"command", command_of(caller, thread.process.pid)}});
        }
    }
    Json references = Json::array();
    for (const auto& [controller, reason] : group.holders) {
        references.push_back({{"controller", controller}, {"reason", reason}});
    }
    Json refusals = Json::array();
    for (const std::string_view kind : {"refused-remove", "refused-attach", "refused-set", "refused"}) {
        Json last = from_.chronicle.last_event(path, [&](std::string_view event, const Json& body) {
            return event == kind && body.is_object() && body.contains("group") && body["group"].is_string() &&
                   names_group(body, path);
        });
        if (last.is_object()) {
            refusals.push_back(std::move(last));
        }
    }
    const std::string busy = group.parent.value == 0 ? "it is the root of its hierarchy and always stays"
                                                     : from_.forest.busy_reason(*id);
    return text_of({{"schema", 1},
                    {"group", path},
                    {"removable", busy.empty()},
                    {"reason", busy.empty() ? Json() : Json(busy)},
                    {"children", children},
                    {"processes", members},
                    {"process_count", group.processes},
                    {"threads", threads},
                    {"thread_count", group.threads},
                    {"references", references},
                    {"refusals", refusals}});
}

// --- a process
// -------------------------------------------------------------------------------------------------------------

// How it came to be where it was first.
Json Views::origin_of(const processes::Process& process) const {
    if (process.has(processes::process_service)) {
        return {{"how", "started"}, {"by", "gpcsupd"}, {"parent", process.parent}};
    }
    if (process.has(processes::process_orphan)) {
        return {{"how", "attributed"},
                {"by", processes::to_string(processes::attribution_of(process))},
                {"parent", process.parent}};
    }
    return {{"how", "inherited"}, {"by", "fork"}, {"parent", process.parent}};
}

Views::Answer Views::why_process(const control::Caller& caller, std::string_view text) {
    pid_t pid = 0;
    (void)std::from_chars(text.data(), text.data() + text.size(), pid);
    const processes::Process* process = from_.table.find(pid);
    if (process == nullptr || process->has(processes::process_dead)) {
        if (const auto thread = sys::identify_thread(from_.files, pid);
            thread && thread->process.pid != pid) {
            const std::string number = std::to_string(thread->process.pid);
            return base::refuse(ENOENT, std::string(text) + " is a thread of process " + number,
                                "ask for that: gpcsup why " + number);
        }
        const bool there = from_.files.stat(pid).has_value();
        return base::refuse(ENOENT, there ? "process " + std::string(text) +
                                                " does not descend from this gpc-init and is in no group"
                                          : "there is no process " + std::string(text));
    }
    const base::ProcessId identity = process->id();
    const std::string number = std::to_string(pid);
    Json attached = from_.chronicle.last_event(number, [&](std::string_view event, const Json& body) {
        return event == "attached" && body.is_object() && body.contains("moved") &&
               std::ranges::any_of(body["moved"], [&](const Json& one) { return is_of(one, identity); });
    });
    if (attached.is_object()) {  // of many, only this one
        Json own = Json::object();
        for (const Json& one : attached["moved"]) {
            own = is_of(one, identity) ? one["place"] : own;
        }
        attached = {{"seq", attached["seq"]}, {"time", attached["time"]}, {"place", own}};
    }
    const Json refused = from_.chronicle.last_event(number, [&](std::string_view event, const Json& body) {
        return event == "refused-attach" && is_of(body, identity);
    });
    const std::string unit = unit_of(*process);
    return text_of({{"schema", 1},
                    {"pid", pid},
                    {"command", command_of(caller, pid)},
                    {"unit", unit.empty() ? Json() : Json(unit)},
                    {"place", place_of(*process)},
                    {"places", placement_reasons(*process)},
                    {"threads_apart", threads_apart_of(*process)},
                    {"origin", origin_of(*process)},
                    {"moved", process->has(processes::process_moved)},
                    {"attached", attached},
                    {"refused", refused}});
}

}  // namespace gpcsup::supervisor
