#include "units/engine.h"

#include <algorithm>
#include <cassert>
#include <csignal>
#include <map>

#include "units/names.h"
#include "units/settings.h"

namespace gpcsup::units {

Engine::Engine(UnitGraph graph) : graph_(std::move(graph)), units_(graph_.size()) {
    for (std::uint32_t row = 0; row < graph_.size(); ++row) {
        units_[row].state.name = name(UnitId(row));
    }
}

// The only place where a state changes.
void Engine::enter(UnitId id, Event event, std::string reason) {
    UnitState& state = unit(id).state;
    const std::optional<State> to = next_state(state.state, event);
    assert(to && "the transition table has no such row");
    if (!to) {
        return;
    }
    Action report{.kind = ActionKind::state_changed, .unit = state.name, .from = state.state, .to = *to};
    report.reason = reason;
    actions_.push_back(std::move(report));
    if (state.state == State::starting && is_up(*to)) {
        state.active_since = now_;
    }
    state.state = *to;
    state.phase = Phase::none;
    state.since = now_;
    state.reason = std::move(reason);
    set_deadline(id, std::nullopt);
    changed(id);
    queue_step(id);
    queue_neighbours(id);
}

void Engine::set_deadline(UnitId id, std::optional<TimePoint> deadline) {
    UnitState& state = unit(id).state;
    if (state.deadline) {
        deadlines_.erase({*state.deadline, id});
    }
    state.deadline = deadline;
    if (deadline) {
        deadlines_.insert({*deadline, id});
    }
    changed(id);
}

void Engine::deadline_in(UnitId id, base::Duration duration) {
    const bool never = duration == no_timeout || duration > TimePoint::max() - now_;
    set_deadline(id, never ? std::nullopt : std::optional(now_ + duration));
}

void Engine::act(UnitId id, ActionKind kind) {
    UnitState& state = unit(id).state;
    Action action{.kind = kind, .unit = state.name, .from = state.state, .to = state.state};
    action.process = state.main;
    if (kind == ActionKind::send_stop_signal) {
        action.signal = signal_number(declared(id).stop_signal);
    } else if (kind == ActionKind::send_reload_signal) {
        action.signal = SIGHUP;
    }
    actions_.push_back(std::move(action));
    state.unconfirmed = true;
    changed(id);
}

void Engine::changed(UnitId id) {
    if (!std::exchange(unit(id).changed, true)) {
        changed_.push_back(id);
    }
}

void Engine::queue_wish(UnitId id) {
    if (!std::exchange(unit(id).wish_queued, true)) {
        wishes_.push_back(id);
    }
}

void Engine::queue_step(UnitId id) {
    if (!std::exchange(unit(id).step_queued, true)) {
        steps_.push_back(id);
    }
}

void Engine::queue_neighbours(UnitId id) {
    const Node& node = graph_[id];
    for (const Edge& edge : node.successors) {
        queue_step(edge.unit);
    }
    for (const Edge& edge : node.predecessors) {
        queue_step(edge.unit);
    }
    for (UnitId other : node.conflicts) {
        queue_step(other);
    }
}

std::vector<UnitState> Engine::take_changed() {
    std::vector<UnitState> result = std::exchange(gone_, {});
    result.reserve(result.size() + changed_.size());
    for (UnitId id : std::exchange(changed_, {})) {
        if (std::exchange(unit(id).changed, false)) {
            result.push_back(unit(id).state);
        }
    }
    return result;
}

std::optional<TimePoint> Engine::next_deadline() const {
    if (!wishes_.empty() || !steps_.empty()) {
        return now_;  // the last drain was cut short: go on at once
    }
    return deadlines_.empty() ? std::nullopt : std::optional(deadlines_.begin()->first);
}

bool Engine::quiet() const {
    for (std::uint32_t row = 0; row < units_.size(); ++row) {
        const bool used = graph_[UnitId(row)].declaration != nullptr;
        if (used && (!is_down(units_[row].state.state) || units_[row].state.due)) {
            return false;
        }
    }
    return true;
}

UnitId Engine::insert(Declaration declaration, Origin origin) {
    const UnitId id = graph_.add(std::move(declaration));
    units_.resize(graph_.size());
    unit(id) = Unit{};
    unit(id).state.name = name(id);
    unit(id).state.origin = origin;
    return id;
}

base::Result<> Engine::start_transient(Declaration declaration, TimePoint now) {
    now_ = now;
    if (stopping_all_) {
        return base::refuse(ESHUTDOWN, "everything is being stopped");
    }
    if (graph_.find(declaration.name)) {
        return base::refuse(EEXIST, "there is a unit \"" + declaration.name + "\" already");
    }
    declaration.restart = RestartPolicy::no;
    declaration.depends = {};  // a row that can be taken away at any time may not be pointed to
    const UnitId id = insert(std::move(declaration), Origin::transient);
    unit(id).state.wished = true;
    queue_wish(id);
    drain();
    return {};
}

std::vector<PlannedChange> Engine::plan(const UnitGraph& next) const {
    std::vector<PlannedChange> result;
    for (std::string_view wanted : next.names()) {
        const auto old = graph_.find(wanted);
        if (!old || unit(*old).state.origin != Origin::file) {
            result.push_back({std::string(wanted), Change::add, {}});
            continue;
        }
        PlannedChange change{std::string(wanted), Change::update, {}};
        for (const Difference& difference :
             differences(declared(*old), *next[*next.find(wanted)].declaration)) {
            change.keys.push_back(difference.key);
            if (difference.applies == Applies::at_start && has_body(*old)) {
                change.change = Change::restart;
            }
        }
        if (!change.keys.empty()) {
            result.push_back(std::move(change));
        }
    }
    for (std::string_view old : graph_.names()) {
        if (!next.find(old) && unit(*graph_.find(old)).state.origin == Origin::file) {
            result.push_back({std::string(old), Change::remove, {}});
        }
    }
    return result;
}

void Engine::replace_graph(UnitGraph next, TimePoint now) {
    now_ = now;
    std::map<std::string, Unit, std::less<>> old;
    UnitGraph old_graph = std::exchange(graph_, std::move(next));
    for (std::uint32_t row = 0; row < units_.size(); ++row) {
        if (old_graph[UnitId(row)].declaration != nullptr) {
            old.emplace(units_[row].state.name, std::move(units_[row]));
        }
    }
    units_.assign(graph_.size(), Unit{});
    for (std::uint32_t row = 0; row < graph_.size(); ++row) {
        const auto known = old.find(name(UnitId(row)));
        if (known == old.end()) {
            units_[row].state.name = name(UnitId(row));
            continue;
        }
        units_[row] = std::move(known->second);
        units_[row].state.origin = Origin::file;
        old.erase(known);
    }
    for (auto& [gone, record] : old) {
        const UnitId id = insert(*old_graph[*old_graph.find(gone)].declaration, Origin::leaving);
        const bool transient = record.state.origin == Origin::transient;
        unit(id) = std::move(record);
        unit(id).state.origin = transient ? Origin::transient : Origin::leaving;
        unit(id).state.wished = transient && unit(id).state.wished;
    }
    deadlines_.clear();
    changed_.clear();
    std::vector<bool> wanted_before;
    for (std::uint32_t row = 0; row < units_.size(); ++row) {
        const UnitId id(row);
        wanted_before.push_back(units_[row].wanted);
        units_[row].changed = false;
        if (units_[row].state.deadline) {
            deadlines_.insert({*units_[row].state.deadline, id});
        }
        changed(id);
    }
    recount(wanted_before);
    drain();
}

void Engine::restore_transient(Declaration declaration) {
    if (!graph_.find(declaration.name)) {
        declaration.depends = {};
        insert(std::move(declaration), Origin::transient);
    }
}

void Engine::restore(UnitState state) {
    auto id = graph_.find(state.name);
    if (!id) {
        Declaration declaration;  // its file is gone: enough to stop it
        declaration.name = state.name;
        declaration.enabled = false;
        id = insert(std::move(declaration), Origin::leaving);
        state.origin = Origin::leaving;
        state.wished = false;
    }
    recovery_ = Recovery::restoring;
    set_deadline(*id, std::nullopt);
    const std::optional<TimePoint> deadline = state.deadline;
    state.deadline.reset();
    unit(*id).state = std::move(state);
    set_deadline(*id, deadline);
}

void Engine::resume(TimePoint now) {
    now_ = now;
    recovery_ = Recovery::over;
    recount(std::vector<bool>(units_.size(), true));
    for (std::uint32_t row = 0; row < units_.size(); ++row) {
        const UnitState& state = units_[row].state;
        const bool just_asked = std::ranges::any_of(actions_, [&](const Action& action) {
            return action.unit == state.name && action.kind != ActionKind::state_changed;
        });
        if (graph_[UnitId(row)].declaration != nullptr && state.unconfirmed && !just_asked) {
            repeat_action(UnitId(row));
        }
    }
    drain();
}

void Engine::repeat_action(UnitId id) {
    UnitState& state = unit(id).state;
    switch (state.phase) {
        case Phase::launching:
            return act(id, ActionKind::start_process);
        case Phase::waiting:  // it was to be stopped before its process was there, and no process came
            state.unconfirmed = false;
            return changed(id);
        case Phase::commanded:
            return act(id, ActionKind::run_stop_command);
        case Phase::asked:
            return act(id, ActionKind::send_stop_signal);
        case Phase::leftovers:
            return act(id, ActionKind::terminate_group);
        case Phase::killed:
            return act(id, ActionKind::kill_group);
        case Phase::none:
        case Phase::running:
            break;
    }
    if (state.state == State::reloading) {
        const bool by_command = !declared(id).reload_command.empty();
        act(id, by_command ? ActionKind::run_reload_command : ActionKind::send_reload_signal);
    }
}

}  // namespace gpcsup::units
