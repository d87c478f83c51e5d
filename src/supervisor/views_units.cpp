// Views of units: status, list.

#include <unistd.h>

#include <algorithm>

#include "supervisor/event_loop.h"
#include "supervisor/views.h"
#include "units/names.h"
#include "units/settings.h"

namespace gpcsup::supervisor {

using grouping::GroupId;
using grouping::Places;

namespace {

// CLOCK_MONOTONIC to CLOCK_REALTIME, for people.
std::uint64_t realtime_of(units::TimePoint point) {
    const auto at = static_cast<std::int64_t>(
        std::chrono::duration_cast<std::chrono::nanoseconds>(point.time_since_epoch()).count());
    return static_cast<std::uint64_t>(at + static_cast<std::int64_t>(realtime_now_ns()) -
                                      static_cast<std::int64_t>(monotonic_now_ns()));
}

Json time_or_null(const std::optional<units::TimePoint>& point) {
    return point ? Json(realtime_of(*point)) : Json();
}

}  // namespace

Json Views::supervisor_header(const control::Caller& caller) {
    Json hierarchies = Json::array();
    for (const grouping::Hierarchy* hierarchy : from_.forest.hierarchies()) {
        hierarchies.push_back({{"name", hierarchy->name}, {"controllers", hierarchy->controllers}});
    }
    return {{"pid", getpid()},
            {"init_pid", from_.here.init_pid},
            {"version", GPCSUP_VERSION},
            {"state", from_.facts.state_word()},
            {"tracking", from_.facts.tracking()},
            {"tracking_reason", from_.facts.tracking_reason()},
            {"mode", name_of(from_.here.mode)},
            {"runtime", from_.here.runtime},
            {"uptime_ns", realtime_now_ns() - started_ns_},
            {"enforcement", from_.facts.enforcement_word()},
            {"hierarchies", hierarchies},
            {"unit_directories", from_.here.unit_directories},
            {"config", from_.here.config ? Json(*from_.here.config) : Json()},
            {"warnings", from_.facts.warnings(audience_of(caller))}};
}

Places Views::places_of_unit(const units::UnitState& state) const {
    const processes::Process* main = state.main.pid > 0 ? from_.table.find(state.main) : nullptr;
    return main != nullptr ? from_.table.places(*main) : Places{};
}

// Whatever the controllers call a limit, with what is used of it and how often it refused.
Json Views::limits_of(const Places& places) {
    Json limits = Json::array();
    for (const grouping::Hierarchy* hierarchy : from_.forest.hierarchies()) {
        const GroupId group = places[hierarchy->id.value];
        if (from_.forest.group(group) == nullptr) {
            continue;
        }
        for (const controllers::SettingText& setting : from_.controllers.settings_of(group)) {
            auto limit = from_.controllers.get(group, setting.name);
            const bool bounds = setting.name.ends_with(".limit") || setting.name.ends_with(".barrier");
            if (!bounds || !limit || !std::holds_alternative<std::uint64_t>(*limit)) {
                continue;
            }
            const std::string controller = setting.name.substr(0, setting.name.rfind('.'));
            auto current = from_.controllers.get(group, controller + ".current");
            if (!current) {
                current = from_.controllers.get(group, controller + ".held");
            }
            auto failures = from_.controllers.get(group, controller + ".failcnt");
            limits.push_back({{"attribute", setting.name},
                              {"group", from_.forest.full_path(group)},
                              {"current", current ? value_to_json(*current) : Json()},
                              {"limit", value_to_json(*limit)},
                              {"failcnt", failures ? value_to_json(*failures) : Json()}});
        }
    }
    return limits;
}

// The groups that were asked to be frozen and by which a process of these places stands still.
Json Views::frozen_by(const Places& places) const {
    Json by = Json::array();
    for (const GroupId place : places) {
        if (const auto frozen = from_.forest.frozen_by(place)) {
            by.push_back(from_.forest.full_path(*frozen));
        }
    }
    return by;
}

Json Views::unit_summary(const units::UnitState& state) {
    const units::Declaration& declaration = *from_.engine.declaration(state.name);
    Json place = Json::object();
    Json frozen = Json::array();
    if (const processes::Process* main = state.main.pid > 0 ? from_.table.find(state.main) : nullptr) {
        place = place_of(*main);
        frozen = frozen_by(from_.table.places(*main));
    } else {
        for (const auto& [hierarchy, path] : from_.placing.paths_of(declaration)) {
            place[hierarchy] = path;
        }
    }
    const auto group = from_.placing.group_of(state.name);
    return {
        {"name", state.name},
        {"description", declaration.description},
        {"type", declaration.kind == units::UnitKind::target ? "target" : units::name_of(declaration.type)},
        {"state", units::name_of(state.state)},
        {"reason", from_.engine.reason(state.name)},
        {"since_ns", state.since == units::TimePoint{} ? started_ns_ : realtime_of(state.since)},
        {"pid", state.main.pid > 0 ? Json(state.main.pid) : Json()},
        {"restarts", state.restarts},
        {"enabled", declaration.enabled && !declaration.masked},
        {"processes", group ? from_.forest.group(*group)->processes_below() : 0},
        {"place", place},
        {"frozen_by", std::move(frozen)},
        {"enforcement", from_.facts.enforcement_of(state.name)}};
}

void Views::add_details(Json& unit, const units::UnitState& state) {
    const units::TimePoint now{std::chrono::nanoseconds(monotonic_now_ns())};
    unit["limits"] = limits_of(places_of_unit(state));
    unit["exit_code"] = nullptr;
    unit["signal"] = nullptr;
    if (state.exit && state.exit->kind == units::ExitKind::exited) {
        unit["exit_code"] = state.exit->number;
    } else if (state.exit && state.exit->kind != units::ExitKind::unknown) {
        unit["signal"] = units::signal_name(state.exit->number);
    }
    unit["next_restart_ns"] = state.state == units::State::backoff ? time_or_null(state.deadline) : Json();
    unit["deadline_ns"] = state.state == units::State::backoff ? Json() : time_or_null(state.deadline);
    const unsigned tries = from_.engine.tries_left(state.name, now);
    unit["tries_left"] = tries == units::unlimited_starts ? Json() : Json(tries);
    unit["log"] = from_.here.logs + "/" + state.name + ".log";
    unit["log_waiting"] = from_.facts.log_waiting(state.name);
}

units::Audience Views::audience_of(const control::Caller& caller) {
    return caller.uid == 0 || caller.uid == geteuid() ? units::Audience::owner : units::Audience::everybody;
}

// Names come from the local files only: the user of a directory service sees what everybody sees.
units::Audience Views::audience_of(const control::Caller& caller, const units::Declaration& unit) const {
    if (audience_of(caller) == units::Audience::owner || unit.user.empty()) {
        return audience_of(caller);
    }
    const grouping::Who user = grouping::parse_who(*unit.user);
    const auto uid = user.number ? user.number : accounts_.user_number(user.name);
    return uid == caller.uid ? units::Audience::owner : units::Audience::everybody;
}

Json Views::settings_of(const units::Declaration& unit, units::Audience audience) {
    Json settings = Json::array();
    for (const units::EffectiveSetting& one : units::effective_settings(unit, audience)) {
        settings.push_back({{"key", one.key}, {"value", one.value}, {"default", one.is_default}});
    }
    return settings;
}

Views::Answer Views::status(const control::Caller& caller, std::span<const std::string> names,
                            std::string_view detail) {
    from_.facts.refresh_processes();
    if (detail == "settings") {
        accounts_.refresh();
    }
    Json units = Json::array();
    std::unordered_map<GroupId, processes::CpuTime> of_all;
    if (names.empty() && detail != "list") {
        of_all = from_.facts.cpu_times();
    }
    const auto add = [&](std::string_view name) {
        const units::UnitState& state = *from_.engine.find(name);
        Json unit = unit_summary(state);
        if (detail != "list") {
            const auto group = from_.placing.group_of(name);
            unit["cpu_ns"] = !group          ? 0
                             : names.empty() ? of_all[*group].usage_ns
                                             : from_.facts.cpu_time(*group).usage_ns;
            add_details(unit, state);
        }
        if (detail == "settings") {
            const units::Declaration& declaration = *from_.engine.declaration(name);
            unit["settings"] = settings_of(declaration, audience_of(caller, declaration));
        }
        units.push_back(std::move(unit));
    };
    for (const std::string& name : names) {
        if (from_.engine.find(name) == nullptr) {
            return base::refuse(ENOENT, "there is no unit " + name, "`gpcsup list` shows them");
        }
        add(name);
    }
    if (names.empty()) {
        for (const std::string_view name : from_.engine.names()) {
            if (name != units::default_target) {
                add(name);
            }
        }
    }
    unsigned unattributed = 0;
    from_.table.for_each_member(
        from_.forest.hierarchy(Placing::unit_hierarchy)->root,
        [&](processes::Process& process) { unattributed += process.has(processes::process_helper) ? 0 : 1; });
    return text_of({{"schema", 1},
                    {"supervisor", supervisor_header(caller)},
                    {"units", std::move(units)},
                    {"unattributed", unattributed}});
}

}  // namespace gpcsup::supervisor
