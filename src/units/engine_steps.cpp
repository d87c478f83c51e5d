// Phase two: what one unit does next, from its own state and its neighbours'. No function in here calls
// step().

#include <algorithm>
#include <chrono>

#include "units/engine.h"
#include "units/names.h"

namespace gpcsup::units {

namespace {

// A process that survives SIGKILL sleeps in the kernel. It is given up then, and named, so that a shutdown
// ends.
constexpr base::Duration kill_patience = std::chrono::seconds(10);

}  // namespace

void Engine::step(UnitId id) {
    switch (unit(id).state.state) {
        case State::inactive:
        case State::failed:
        case State::backoff:
            return step_down(id);
        case State::starting:
            return step_starting(id);
        case State::active:
        case State::reloading:
        case State::done:
            return step_up(id);
        case State::stopping:
            return step_stopping(id);
    }
}

void Engine::step_down(UnitId id) {
    UnitState& state = unit(id).state;
    if (!unit(id).wanted) {
        if (state.state == State::backoff) {
            enter(id, Event::cancel, stop_reason(id));
        }
        if (state.due || state.lost) {
            state.due = state.lost = false;
            changed(id);
            queue_neighbours(id);
        }
        remove_if_over(id);
        return;
    }
    if (state.lost && !state.due && state.state != State::backoff &&
        start_blocker(id).verdict == Verdict::go) {
        state.due = true;  // what it needs has returned
        changed(id);
    }
    if (state.due) {
        begin_start(id);
    } else {
        remove_if_over(id);
    }
}

void Engine::begin_start(UnitId id) {
    UnitState& state = unit(id).state;
    if (!graph_[id].refusal.empty()) {
        state.due = false;
        if (state.state == State::inactive) {
            enter(id, Event::give_up, graph_[id].refusal);
        }
        changed(id);
        queue_neighbours(id);
        return;
    }
    for (UnitId other : graph_[id].conflicts) {
        const UnitState& rival = unit(other).state;
        if (!is_down(rival.state) || rival.state == State::backoff || rival.due || rival.lost) {
            hold(other);
        }
    }
    state.lost = false;
    state.restarting = false;
    enter(id, Event::start, {});
    state.phase = Phase::waiting;
}

void Engine::step_starting(UnitId id) {
    UnitState& state = unit(id).state;
    if (state.phase != Phase::waiting) {
        return step_up(id);
    }
    if (!unit(id).wanted) {
        state.due = false;
        return enter(id, Event::cancel, stop_reason(id));
    }
    const Blocker blocker = start_blocker(id);
    if (blocker.verdict == Verdict::go) {
        return launch(id);
    }
    if (blocker.verdict == Verdict::hopeless) {
        state.due = false;
        state.lost = true;
        enter(id, Event::give_up, "dependency: " + describe_need(blocker.unit));
    }
}

void Engine::launch(UnitId id) {
    UnitState& state = unit(id).state;
    const Declaration& declaration = declared(id);
    state.due = false;
    state.active_since = {};
    if (declaration.kind == UnitKind::target) {
        return enter(id, Event::ready, {});
    }
    if (declaration.start_limit.starts != unlimited_starts) {
        state.starts.push_back(now_);
        if (state.starts.size() > declaration.start_limit.starts) {
            state.starts.erase(state.starts.begin());
        }
    }
    state.main = {};
    state.exit.reset();
    state.members = false;
    state.phase = Phase::launching;
    deadline_in(id, declaration.start_timeout);
    act(id, ActionKind::start_process);
}

// Also of a unit that starts and has a process already: it can be stopped at any time.
void Engine::step_up(UnitId id) {
    UnitState& state = unit(id).state;
    const bool needs_gone = lost_need(id).has_value();
    if (unit(id).wanted && !state.restarting && !needs_gone) {
        remove_if_over(id);
        return;
    }
    state.lost = unit(id).wanted && needs_gone;
    stop(id, stop_reason(id));
}

void Engine::stop(UnitId id, std::string reason) {
    UnitState& state = unit(id).state;
    if (state.phase == Phase::launching && state.main.pid == 0) {
        const auto asked = std::ranges::find_if(actions_, [&](const Action& action) {
            return action.kind == ActionKind::start_process && action.unit == state.name;
        });
        if (asked != actions_.end()) {  // nobody has seen the order yet: take it back
            actions_.erase(asked);
            state.unconfirmed = false;
        }
    } else {
        state.unconfirmed = false;
    }
    state.outcome = Outcome::rest;
    enter(id, Event::stop, std::move(reason));
    state.phase = Phase::waiting;
}

void Engine::step_stopping(UnitId id) {
    UnitState& state = unit(id).state;
    if (state.outcome == Outcome::retry && !unit(id).wanted) {
        state.outcome = Outcome::rest;
        changed(id);
        queue_neighbours(id);
    }
    const bool process_may_come = state.unconfirmed && state.main.pid == 0;
    if (state.phase == Phase::waiting && !process_may_come && !stop_blocker(id)) {
        ask(id);
    }
}

void Engine::ask(UnitId id) {
    UnitState& state = unit(id).state;
    const Declaration& declaration = declared(id);
    if (declaration.kind == UnitKind::target) {
        return conclude(id);
    }
    deadline_in(id, declaration.stop_timeout);
    if (!declaration.stop_command.empty()) {
        state.phase = Phase::commanded;
        act(id, ActionKind::run_stop_command);
    } else if (state.main.pid != 0 || state.members) {
        state.phase = Phase::asked;
        act(id, ActionKind::send_stop_signal);
    } else {
        conclude(id);
    }
}

void Engine::ask_leftovers(UnitId id) {
    if (!unit(id).state.deadline) {
        deadline_in(id, declared(id).stop_timeout);
    }
    unit(id).state.phase = Phase::leftovers;
    act(id, ActionKind::terminate_group);
}

void Engine::kill(UnitId id) {
    UnitState& state = unit(id).state;
    state.reason += (state.reason.empty() ? "timeout: " : "; ") + std::string("killed, as it was not gone ") +
                    base::format_duration(declared(id).stop_timeout) + " after it was asked (stop_timeout)";
    state.phase = Phase::killed;
    deadline_in(id, kill_patience);
    act(id, ActionKind::kill_group);
}

// Nothing is left of it: down it goes, to where was decided when it began to stop.
void Engine::conclude(UnitId id) {
    UnitState& state = unit(id).state;
    state.unconfirmed = false;
    state.main = {};
    state.members = false;
    const bool again = unit(id).wanted && !state.restarting;
    if (state.outcome == Outcome::retry && again) {
        retry_or_fail(id);
    } else {
        enter(id, state.outcome == Outcome::fail ? Event::fail : Event::rest, state.reason);
    }
    if (state.restarting) {
        state.restarting = false;
        state.due = true;
    }
}

void Engine::retry_or_fail(UnitId id) {
    UnitState& state = unit(id).state;
    const Declaration& declaration = declared(id);
    const bool was_stable =
        state.active_since != TimePoint{} && now_ - state.active_since >= declaration.restart_reset;
    const base::Duration delay =
        was_stable || state.delay == base::Duration::zero() ? declaration.restart_delay : state.delay;
    const StartLimit& limit = declaration.start_limit;
    const auto recent = std::ranges::count_if(
        state.starts, [&](TimePoint start) { return now_ + delay - start < limit.window; });
    if (limit.starts != unlimited_starts && static_cast<std::size_t>(recent) >= limit.starts) {
        enter(id, Event::fail,
              "start-limit: " + std::to_string(limit.starts) + " starts in " +
                  base::format_duration(limit.window) + "; the last ended with " + state.reason);
        return;
    }
    enter(id, Event::retry, state.reason);
    deadline_in(id, delay);
    state.delay = following_delay(delay, declaration);
}

bool Engine::remove_if_over(UnitId id) {
    const UnitState& state = unit(id).state;
    const bool finished = state.state == State::done && !state.members && state.origin == Origin::transient;
    const bool down = state.state == State::inactive || state.state == State::failed;
    if (state.origin == Origin::file || state.due || !(down || finished)) {
        return false;
    }
    if (state.origin == Origin::transient && down && state.reason.empty()) {
        return false;  // declared, and not started yet: every end has a reason
    }
    Action report{.kind = ActionKind::removed, .unit = state.name, .from = state.state, .to = state.state};
    report.reason = state.reason;
    report.exit = state.exit;
    actions_.push_back(std::move(report));
    set_deadline(id, std::nullopt);
    gone_.push_back(std::move(unit(id).state));
    unit(id) = Unit{};
    graph_.remove(id);
    return true;
}

Engine::Blocker Engine::start_blocker(UnitId id) const {
    Blocker blocker;
    for (const Edge& edge : graph_[id].predecessors) {
        const Verdict verdict = judge(edge);
        if (verdict == Verdict::hopeless) {
            return {verdict, edge.unit, edge.kind};
        }
        if (verdict == Verdict::wait) {
            blocker = {verdict, edge.unit, edge.kind};
            if (!needs(edge.kind)) {
                return blocker;  // needs come first: nothing behind it can be hopeless
            }
        }
    }
    for (UnitId rival : graph_[id].conflicts) {
        if (has_body(rival)) {
            return {Verdict::wait, rival, EdgeKind::after};
        }
    }
    return blocker;
}

Engine::Verdict Engine::judge(const Edge& edge) const {
    const State state = unit(edge.unit).state.state;
    const bool moving = state == State::starting || state == State::stopping || will_stop(edge.unit) ||
                        (state != State::backoff && is_down(state) && comes(edge.unit));
    if (!needs(edge.kind)) {
        return moving ? Verdict::wait : Verdict::go;
    }
    if (is_up(state) && !will_stop(edge.unit)) {
        return Verdict::go;
    }
    return comes(edge.unit) || is_up(state) ? Verdict::wait : Verdict::hopeless;
}

// It is down or on its way, and will be up if all goes well.
bool Engine::comes(UnitId id) const {
    const UnitState& state = unit(id).state;
    if (!unit(id).wanted) {
        return false;
    }
    switch (state.state) {
        case State::starting:
        case State::backoff:
            return true;
        case State::stopping:
            return state.outcome == Outcome::retry || state.due || state.restarting;
        case State::inactive:
        case State::failed:
            return state.due && graph_[id].refusal.empty();
        case State::active:
        case State::reloading:
        case State::done:
            break;
    }
    return false;
}

bool Engine::has_body(UnitId id) const {
    const UnitState& state = unit(id).state;
    return state.state == State::starting ? state.phase != Phase::waiting : !is_down(state.state);
}

bool Engine::will_stop(UnitId id) const {
    const UnitState& state = unit(id).state;
    if (!has_body(id)) {
        return false;
    }
    return state.state == State::stopping || !unit(id).wanted || state.restarting ||
           lost_need(id).has_value();
}

// Who must stop before it: what needs it, and what is ordered behind it and stops as well.
std::optional<UnitId> Engine::stop_blocker(UnitId id) const {
    for (const Edge& edge : graph_[id].successors) {
        if (has_body(edge.unit) && (needs(edge.kind) || will_stop(edge.unit))) {
            return edge.unit;
        }
    }
    return std::nullopt;
}

// What it cannot go on without, and is gone or goes.
std::optional<UnitId> Engine::lost_need(UnitId id) const {
    for (const Edge& edge : graph_[id].predecessors) {
        if (!needs(edge.kind)) {
            break;  // the strongest come first
        }
        const UnitState& need = unit(edge.unit).state;
        const bool goes = need.state == State::stopping && need.outcome != Outcome::retry;
        const bool gone = is_down(need.state) && !comes(edge.unit);
        if (goes || gone || (edge.kind == EdgeKind::binds && !is_up(need.state))) {
            return edge.unit;
        }
    }
    return std::nullopt;
}

}  // namespace gpcsup::units
