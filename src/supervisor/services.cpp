#include "supervisor/services.h"

#include <algorithm>
#include <csignal>

#include "supervisor/error_text.h"
#include "sys/memory.h"
#include "units/names.h"

namespace gpcsup::supervisor {

using grouping::GroupId;
using units::ActionKind;

namespace {
// After the boot, when its last starts have been told of: what a thousand of them needed is not needed again.
constexpr std::uint64_t rest_after_ns = 1'000'000'000;
}  // namespace

Services::Services(const Parts& parts, std::unique_ptr<launch::StartSlots> slots)
    : parts_(parts), rows_(parts.census, parts.enforcer), slots_(std::move(slots)), logs_(parts.keeper) {
    parts_.chronicle.add_rewriter([this](Chronicle& chronicle) {
        for (const std::string_view name : parts_.engine.names()) {
            const auto bytes = units::encode(*parts_.engine.find(name));
            chronicle.keep("unit/" + std::string(name),
                           {reinterpret_cast<const char*>(bytes.data()), bytes.size()});
        }
        for (auto& [unit, live] : live_) {
            record_launch(unit, live);
        }
    });
}

base::Result<> Services::open() {
    getrlimit(RLIMIT_NOFILE, &descriptor_limit_);
    const rlimit raised{descriptor_limit_.rlim_max, descriptor_limit_.rlim_max};
    (void)setrlimit(RLIMIT_NOFILE, &raised);  // up to the hard limit it cannot fail
    logs_.adopt();
    handover_ = parts_.keeper.take(wire::KeepClass::handover);
    exec_program_ = parts_.here.program(wire::exec_program);
    names_program_ = parts_.here.program(wire::names_program);
    if (exec_program_.empty()) {
        return base::fail(ENOENT, "find", wire::exec_program,
                          "it belongs beside gpcsupd or into libexec/gpcsup");
    }
    auto deadline = parts_.loop.on_time(EventLoop::Priority::processes, [this] {
        parts_.engine.tick(now());
        if (jobs_ != nullptr) {
            jobs_->expire(monotonic_now_ns());
        }
        settle();
    });
    if (!deadline) {
        return base::pass(deadline);
    }
    deadline_ = std::move(*deadline);
    auto rest_timer = parts_.loop.on_time(EventLoop::Priority::clients, [] { sys::give_back_memory(); });
    if (!rest_timer) {
        return base::pass(rest_timer);
    }
    rest_timer_ = std::move(*rest_timer);
    auto look_again = parts_.loop.on_time(EventLoop::Priority::processes, [this] {
        look_at_starts();
        settle();
    });
    if (!look_again) {
        return base::pass(look_again);
    }
    look_again_ = std::move(*look_again);
    return {};
}

units::TimePoint Services::now() {
    return units::TimePoint(std::chrono::nanoseconds(monotonic_now_ns()));
}

std::string Services::unit_of(const processes::Process& process) const {
    return parts_.placing.unit_of(parts_.census.table().place(process, Placing::unit_hierarchy));
}

// --- the rhythm
// ------------------------------------------------------------------------------------------------------------

void Services::settle() {
    if (std::exchange(settling_, Settling::yes) == Settling::yes) {
        return;  // an action's consequence: the loop below goes on with it
    }
    while (true) {
        tell_exits();
        write_changed();
        forget_told();
        const auto actions = parts_.engine.take_actions();
        if (actions.empty() && exits_.empty() && emptied_.empty()) {
            break;
        }
        for (const units::Action& action : actions) {
            carry_out(action);
        }
    }
    settling_ = Settling::no;
    std::uint64_t deadline = 0;
    if (jobs_ != nullptr) {
        jobs_->review();
        deadline = jobs_->next_deadline_ns();
    }
    if (const auto next = parts_.engine.next_deadline()) {
        const auto at =
            static_cast<std::uint64_t>(std::max<std::int64_t>(1, next->time_since_epoch().count()));
        deadline = deadline == 0 ? at : std::min(deadline, at);
    }
    parts_.loop.arm(deadline_, deadline);
    parts_.chronicle.compact_when_grown();
}

void Services::write_changed() {
    for (const units::UnitState& state : parts_.engine.take_changed()) {
        if (parts_.engine.find(state.name) == nullptr) {
            if (jobs_ != nullptr) {
                jobs_->unit_gone(state);
            }
            parts_.chronicle.erase("", "unit/" + state.name);
            continue;
        }
        const auto bytes = units::encode(state);
        parts_.chronicle.keep("unit/" + state.name,
                              {reinterpret_cast<const char*>(bytes.data()), bytes.size()});
    }
}

// Groups that emptied are told before the exits of main processes, as the engine wants it. Where tracking is
// sampled somebody may have been left behind whom no sweep has met yet: he is looked for first, and known by
// the mark in his environment.
void Services::tell_exits() {
    if (!emptied_.empty() || !exits_.empty()) {
        parts_.census.look_for_orphans();
    }
    for (const GroupId group : std::exchange(emptied_, {})) {
        const grouping::Group* known = parts_.forest.group(group);
        if (known != nullptr && known->populated == 0) {
            parts_.engine.group_empty(parts_.placing.unit_of(group), now());
        }
    }
    for (const Exit& exit : std::exchange(exits_, {})) {
        if (exit.role == Role::command) {
            tell_command_exit(exit);
        } else {
            tell_main_exit(exit);
        }
        told_.push_back(exit);
    }
}

void Services::tell_command_exit(const Exit& exit) {
    const auto live = live_.find(exit.unit);
    if (live != live_.end() && live->second.command == exit.process) {
        live->second.command = {};
        parts_.enforcer.ended(std::exchange(live->second.command_domain, 0));
        if (const auto slot = std::exchange(live->second.command_slot, std::nullopt)) {
            if (const auto failure = slots_->failure(*slot)) {
                parts_.chronicle.note("command-failed",
                                      {{"unit", exit.unit},
                                       {"reason", std::string(launch::step_name(failure->step)) + ": " +
                                                      error_text(failure->error)}});
            }
            slots_->release(*slot);
        }
        parts_.engine.command_exited(exit.unit, exit.status, now());
    }
}

void Services::tell_main_exit(const Exit& exit) {
    const units::UnitState* state = parts_.engine.find(exit.unit);
    if (state == nullptr || state->main != exit.process) {
        return;  // a predecessor told it
    }
    main_ended(exit.unit, exit.process);
    if (const auto live = live_.find(exit.unit); live != live_.end() && live->second.slot) {
        exec_settled(exit.unit);  // it may have failed before its pipe was read
    }
    // One that had ended before it was recorded has never been a member, so nothing told that the group is
    // empty. Whom it left behind is found by looking.
    const auto group = parts_.placing.group_of(exit.unit);
    const auto is_empty = [&] { return !group || parts_.forest.group(*group)->populated == 0; };
    if (state->members && is_empty()) {
        (void)parts_.census.resync();
        if (is_empty()) {
            parts_.engine.group_empty(exit.unit, now());
        }
    }
    parts_.engine.main_exited(exit.unit, exit.process, exit.status, now());
}

void Services::forget_told() {
    for (const Exit& exit : std::exchange(told_, {})) {
        const auto live = live_.find(exit.unit);
        if (exit.role == Role::command && live != live_.end()) {
            record_launch(exit.unit, live->second);
        }
        parts_.chronicle.erase("", (exit.role == Role::command ? "command-exit/" : "exit/") + exit.unit);
    }
}

// --- actions
// ---------------------------------------------------------------------------------------------------------------

void Services::carry_out(const units::Action& action) {
    const units::Declaration* unit = parts_.engine.declaration(action.unit);
    const auto group = parts_.placing.group_of(action.unit);
    switch (action.kind) {
        case ActionKind::state_changed:
        case ActionKind::removed:
            return report(action);
        case ActionKind::all_quiet:
            if (all_quiet_) {
                all_quiet_();
            }
            return;
        case ActionKind::start_process:
            return start(action.unit);
        case ActionKind::run_stop_command:
            let_go(group);
            run_command(action.unit, *unit->stop_command);
            break;
        case ActionKind::run_reload_command:
            run_command(action.unit, *unit->reload_command);
            break;
        case ActionKind::send_stop_signal:
            let_go(group);
            [[fallthrough]];
        case ActionKind::send_reload_signal: {
            const int signal = action.kind == ActionKind::send_reload_signal ? SIGHUP : action.signal;
            if (action.process.pid != 0) {
                (void)parts_.census.signals().send(action.process, signal);  // ESRCH: its exit is on the way
                (void)parts_.census.signals().send(action.process, SIGCONT);
            } else if (group) {
                (void)signal_group(*group, signal);
            }
            break;
        }
        case ActionKind::terminate_group:
            let_go(group);
            if (group) {
                (void)signal_group(*group, SIGTERM);
                (void)signal_group(*group, SIGCONT);
            }
            break;
        case ActionKind::kill_group:
            if (group) {
                parts_.kills.start(*group, std::chrono::seconds(9));  // the engine gives up after ten
            }
            break;
    }
    parts_.engine.carried_out(action.unit);
}

void Services::let_go(std::optional<GroupId> group) {
    if (group && before_stop_) {
        before_stop_(*group);
    }
}

void Services::report(const units::Action& action) {
    if (action.kind == ActionKind::removed) {
        forget(action.unit);
        return;
    }
    const units::UnitState* state = parts_.engine.find(action.unit);
    Json body = {
        {"unit", action.unit}, {"state", units::name_of(action.to)}, {"from", units::name_of(action.from)}};
    if (!action.reason.empty()) {
        body["reason"] = action.reason;
    }
    if (state != nullptr) {
        body["pid"] = state->main.pid > 0 ? Json(state->main.pid) : Json();
        body["restarts"] = state->restarts;
    }
    parts_.chronicle.note("unit-" + std::string(units::name_of(action.to)), body);
    if (action.unit == units::default_target && action.to == units::State::active) {
        parts_.loop.arm(rest_timer_, monotonic_now_ns() + rest_after_ns);
    }
}

void Services::forget(const std::string& unit) {
    if (const auto group = parts_.placing.group_of(unit)) {
        parts_.groups.remove_or_leave(*group);  // busy: with what could not be killed, or was put there since
    }
    if (const auto live = live_.find(unit); live != live_.end() && live->second.command_slot) {
        slots_->release(*live->second.command_slot);
    }
    live_.erase(unit);
    parts_.placing.forget(unit);
    logs_.remove(unit);
    for (const char* key : {"transient/", "owner/", "launch/", "exit/", "command-exit/"}) {
        parts_.chronicle.erase("", key + unit);
    }
}

// --- news
// ------------------------------------------------------------------------------------------------------------------

void Services::emptied(GroupId group) {
    emptied_.push_back(group);
}

// The record is safe in the journal before gpc-init's ring moves on: a main process's exit is told exactly
// once, or twice and recognised.
void Services::reaped(const wire::ExitRecord& record, const processes::Process* process) {
    const base::ProcessId id{record.pid, record.start_time};
    const auto owner = owner_of(id, process);
    if (!owner) {
        return;
    }
    const auto& [unit, role] = *owner;
    using units::ExitKind;
    const ExitKind kind = record.code == CLD_EXITED   ? ExitKind::exited
                          : record.code == CLD_DUMPED ? ExitKind::dumped
                                                      : ExitKind::killed;
    Json body = {{"unit", unit},
                 {"pid", record.pid},
                 {"start", record.start_time},
                 {"kind", static_cast<int>(kind)},
                 {"command", role == Role::command}};
    body["exit_code"] = kind == ExitKind::exited ? Json(record.status) : Json();
    body["signal"] = kind == ExitKind::exited ? Json() : Json(units::signal_name(record.status));
    body["number"] = record.status;
    body["cpu_us"] = record.user_us + record.system_us;
    // A key for each: both may have ended when the next looks.
    parts_.chronicle.state("unit-exited", (role == Role::command ? "command-exit/" : "exit/") + unit, body);
    exits_.push_back({unit, id, {kind, record.status}, role});
}

// Of one that had ended before it was recorded its number is all that is known.
std::optional<std::pair<std::string, Services::Role>> Services::owner_of(
    base::ProcessId id, const processes::Process* process) const {
    std::string unit(process != nullptr ? unit_of(*process) : std::string(parts_.engine.unit_of_main(id)));
    if (process == nullptr && unit.empty()) {
        const auto running =
            std::ranges::find_if(live_, [&](const auto& one) { return one.second.command == id; });
        unit = running != live_.end() ? running->first : std::string();
    }
    const units::UnitState* state = parts_.engine.find(unit);
    if (state == nullptr) {
        return std::nullopt;
    }
    const auto live = live_.find(unit);
    if (live != live_.end() && live->second.command == id) {
        return std::pair(unit, Role::command);
    }
    return state->main == id ? std::optional(std::pair(unit, Role::main)) : std::nullopt;
}

// --- signals
// ---------------------------------------------------------------------------------------------------------------

base::Result<std::uint32_t> Services::signal_group(GroupId group, int signal) {
    std::uint32_t count = 0;
    parts_.census.table().for_each_member_below(group, [&](processes::Process& process) {
        if (parts_.census.signals().send(process.id(), signal)) {
            ++count;
        }
    });
    return count;
}

base::Result<> Services::signal_main(std::string_view unit, int signal) {
    const units::UnitState* state = parts_.engine.find(unit);
    if (state == nullptr || state->main.pid == 0) {
        return base::refuse(ESRCH, std::string(unit) + " has no main process");
    }
    return parts_.census.signals().send(state->main, signal);
}

std::optional<ExecFailure> Services::exec_failure(std::string_view name) {
    const auto live = live_.find(name);
    return live == live_.end() ? std::nullopt : live->second.exec_failure;
}

}  // namespace gpcsup::supervisor
