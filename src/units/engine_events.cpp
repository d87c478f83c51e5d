// What the world reports: processes, readiness, deadlines. Each finds out what it means in the state the unit
// is in.

#include <algorithm>

#include "units/engine.h"
#include "units/names.h"

namespace gpcsup::units {

namespace {

std::string start_timeout_text(const Declaration& declaration) {
    const std::string time = base::format_duration(declaration.start_timeout);
    switch (declaration.type) {
        case ServiceType::notify:
            return "timeout: no READY=1 in " + time +
                   "; does the program call sd_notify? use type = \"simple\" otherwise";
        case ServiceType::oneshot:
            return "timeout: not finished in " + time + " (start_timeout)";
        case ServiceType::forking:
            return "timeout: its first process has not exited in " + time +
                   "; does the program go into the background? use type = \"simple\" otherwise";
        case ServiceType::simple:
            break;
    }
    return "timeout: not executed in " + time + " (start_timeout)";
}

}  // namespace

Engine::Unit* Engine::lookup(std::string_view name, UnitId& id) {
    if (recovery_ == Recovery::restoring) {  // what an end leads to depends on who is wanted
        recovery_ = Recovery::counted;
        recount(std::vector<bool>(units_.size(), true));
    }
    const auto found = graph_.find(name);
    if (!found) {
        return nullptr;
    }
    id = *found;
    return &unit(id);
}

void Engine::process_started(std::string_view name, base::ProcessId process, TimePoint now) {
    now_ = now;
    UnitId id;
    Unit* unit = lookup(name, id);
    if (unit == nullptr || is_down(unit->state.state)) {
        return;
    }
    unit->state.main = process;
    unit->state.members = true;
    unit->state.unconfirmed = false;
    changed(id);
    queue_step(id);
    drain();
}

void Engine::exec_succeeded(std::string_view name, TimePoint now) {
    now_ = now;
    UnitId id;
    Unit* unit = lookup(name, id);
    if (unit == nullptr || unit->state.phase != Phase::launching) {
        return;
    }
    unit->state.phase = Phase::running;
    unit->state.unconfirmed = false;
    changed(id);
    if (declared(id).type == ServiceType::simple) {
        enter(id, Event::ready, {});
    }
    drain();
}

void Engine::exec_failed(std::string_view name, std::string_view reason, TimePoint now) {
    now_ = now;
    UnitId id;
    Unit* unit = lookup(name, id);
    if (unit == nullptr) {
        return;
    }
    UnitState& state = unit->state;
    if (state.state == State::stopping && state.phase == Phase::waiting && state.main.pid == 0) {
        state.unconfirmed = false;  // it was to be stopped anyway, and no process came
        queue_step(id);
    } else if (state.state == State::starting && state.phase != Phase::waiting) {
        state.unconfirmed = false;
        end(id, Ending::unexecutable, "exec: " + std::string(reason));
    }
    drain();
}

void Engine::ready(std::string_view name, TimePoint now) {
    now_ = now;
    UnitId id;
    Unit* unit = lookup(name, id);
    if (unit == nullptr) {
        return;
    }
    const bool starts = unit->state.state == State::starting && unit->state.phase != Phase::waiting &&
                        declared(id).type == ServiceType::notify;
    const bool has_reloaded = unit->state.state == State::reloading && declared(id).reload_command.empty();
    if (starts || has_reloaded) {
        unit->state.unconfirmed = false;
        enter(id, Event::ready, {});
    }
    drain();
}

void Engine::reloading(std::string_view name, TimePoint now) {
    now_ = now;
    UnitId id;
    Unit* unit = lookup(name, id);
    if (unit != nullptr && unit->state.state == State::active && declared(id).type == ServiceType::notify) {
        enter(id, Event::reload, {});
        deadline_in(id, declared(id).start_timeout);
    }
    drain();
}

void Engine::extend_timeout(std::string_view name, base::Duration by, TimePoint now) {
    now_ = now;
    UnitId id;
    Unit* unit = lookup(name, id);
    const bool extendable = unit != nullptr && unit->state.deadline && unit->state.state != State::backoff &&
                            unit->state.phase != Phase::killed && by > base::Duration::zero();
    if (extendable && by < TimePoint::max() - now_) {
        set_deadline(id, std::max(*unit->state.deadline, now_ + by));
    }
}

void Engine::main_changed(std::string_view name, base::ProcessId process) {
    UnitId id;
    Unit* unit = lookup(name, id);
    if (unit != nullptr && has_body(id)) {
        unit->state.main = process;
        changed(id);
    }
}

void Engine::main_exited(std::string_view name, base::ProcessId process, ExitStatus status, TimePoint now) {
    now_ = now;
    UnitId id;
    Unit* unit = lookup(name, id);
    if (unit == nullptr || unit->state.main.pid == 0 || unit->state.main != process) {
        return;
    }
    UnitState& state = unit->state;
    const ServiceType type = declared(id).type;
    state.main = {};
    state.exit = status;
    changed(id);
    const Ending ending = classify(status, type);
    const bool exit_zero = status == ExitStatus{ExitKind::exited, 0};
    if (state.state == State::stopping) {
        const bool was_asked = state.phase == Phase::asked;
        if (!state.members && state.phase != Phase::commanded) {
            conclude(id);
        } else if (was_asked) {
            ask_leftovers(id);
        }
    } else if (state.state == State::starting && type == ServiceType::oneshot && exit_zero) {
        enter(id, Event::finish, {});
    } else if (state.state == State::starting && type == ServiceType::forking && exit_zero) {
        if (state.members) {
            enter(id, Event::ready, {});
        } else {
            end(id, Ending::code,
                "exit 0, and no process was left behind; use type = \"oneshot\" if that is meant");
        }
    } else if (state.state == State::starting && type == ServiceType::notify && ending == Ending::clean) {
        end(id, Ending::code, describe(status) + ", before READY=1");
    } else if (state.state == State::starting || state.state == State::active ||
               state.state == State::reloading) {
        end(id, ending, describe(status));
    }
    drain();
}

void Engine::command_exited(std::string_view name, ExitStatus status, TimePoint now) {
    now_ = now;
    UnitId id;
    Unit* unit = lookup(name, id);
    if (unit == nullptr) {
        return;
    }
    UnitState& state = unit->state;
    if (state.state == State::reloading && !declared(id).reload_command.empty()) {
        const bool good = status == ExitStatus{ExitKind::exited, 0};
        state.unconfirmed = false;
        enter(id, Event::ready,
              good ? std::string() : "reload: the reload_command ended with " + describe(status));
    } else if (state.phase == Phase::commanded) {
        state.unconfirmed = false;
        changed(id);
        if (state.main.pid != 0) {
            state.phase = Phase::asked;
            act(id, ActionKind::send_stop_signal);
        } else if (state.members) {
            ask_leftovers(id);
        } else {
            conclude(id);
        }
    }
    drain();
}

void Engine::group_empty(std::string_view name, TimePoint now) {
    now_ = now;
    UnitId id;
    Unit* unit = lookup(name, id);
    if (unit == nullptr) {
        return;
    }
    UnitState& state = unit->state;
    state.members = false;
    changed(id);
    queue_step(id);
    if (state.main.pid == 0) {  // else its exit is on the way, and says more
        const bool concludes = state.state == State::stopping && state.phase != Phase::waiting &&
                               state.phase != Phase::commanded;
        if (concludes) {
            conclude(id);
        } else if (declared(id).kind == UnitKind::service &&
                   (state.state == State::active || state.state == State::reloading)) {
            end(id, Ending::vanished, describe(ExitStatus{}));
        }
    }
    drain();
}

void Engine::group_populated(std::string_view name) {
    UnitId id;
    Unit* unit = lookup(name, id);
    if (unit != nullptr && !unit->state.members) {
        unit->state.members = true;
        changed(id);
    }
}

void Engine::carried_out(std::string_view name) {
    UnitId id;
    Unit* unit = lookup(name, id);
    if (unit == nullptr || !unit->state.unconfirmed || unit->state.phase == Phase::launching) {
        return;  // of a launch, process_started and exec_failed tell more
    }
    unit->state.unconfirmed = false;
    changed(id);
    // SIGHUP has no answer. A service that says RELOADING=1 comes back here and stays until it says READY=1.
    if (unit->state.state == State::reloading && declared(id).reload_command.empty()) {
        enter(id, Event::ready, {});
        drain();
    }
}

void Engine::set_intent(std::string_view name, std::uint64_t intent) {
    UnitId id;
    Unit* unit = lookup(name, id);
    if (unit != nullptr) {
        unit->state.intent = intent;
        changed(id);
    }
}

void Engine::tick(TimePoint now) {
    now_ = now;
    while (!deadlines_.empty() && deadlines_.begin()->first <= now) {
        expire(deadlines_.begin()->second);
    }
    drain();
}

void Engine::expire(UnitId id) {
    set_deadline(id, std::nullopt);
    UnitState& state = unit(id).state;
    switch (state.state) {
        case State::backoff:
            state.due = true;
            ++state.restarts;
            queue_step(id);
            return;
        case State::starting:
            return end(id, Ending::timeout, start_timeout_text(declared(id)));
        case State::reloading:
            return enter(
                id, Event::ready,
                "timeout: it has not reloaded in " + base::format_duration(declared(id).start_timeout));
        case State::stopping:
            if (state.phase != Phase::killed) {
                return kill(id);
            }
            state.outcome = Outcome::fail;
            state.reason = "unkillable: processes are left in its group long after SIGKILL";
            return conclude(id);
        case State::inactive:
        case State::active:
        case State::done:
        case State::failed:
            return;
    }
}

// It ended by itself, or must be ended because it did not start in time.
void Engine::end(UnitId id, Ending ending, std::string reason) {
    UnitState& state = unit(id).state;
    const bool first_start =
        state.restarts == 0;  // somebody is looking, and a typo does not go away by itself
    const bool hopeless = ending == Ending::unexecutable && first_start;
    const bool again = decide(declared(id).restart, ending) == Retry::yes && !hopeless;
    state.outcome = again ? Outcome::retry : (ending == Ending::clean ? Outcome::rest : Outcome::fail);
    enter(id, Event::end, std::move(reason));
    deadline_in(id, declared(id).stop_timeout);
    if (state.main.pid != 0 && ending == Ending::unexecutable) {
        state.phase = Phase::asked;  // gpc-exec is about to exit by itself
    } else if (state.main.pid != 0) {
        state.phase = Phase::asked;
        act(id, ActionKind::send_stop_signal);
    } else if (state.members) {
        ask_leftovers(id);
    } else {
        conclude(id);
    }
}

}  // namespace gpcsup::units
