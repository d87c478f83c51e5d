// What people are told: why a unit is as it is, and what it waits for.

#include <algorithm>

#include "units/engine.h"
#include "units/names.h"

namespace gpcsup::units {

const UnitState* Engine::find(std::string_view name) const {
    const auto id = graph_.find(name);
    return id ? &unit(*id).state : nullptr;
}

const Declaration* Engine::declaration(std::string_view name) const {
    const auto id = graph_.find(name);
    return id ? &declared(*id) : nullptr;
}

std::string_view Engine::unit_of_main(base::ProcessId process) const {
    const auto found = std::ranges::find(units_, process, [](const Unit& unit) { return unit.state.main; });
    return process.pid == 0 || found == units_.end() ? std::string_view()
                                                     : std::string_view(found->state.name);
}

bool Engine::expects_process(std::string_view unit_name) const {
    const UnitState* state = find(unit_name);
    if (state == nullptr || !state->unconfirmed || state->main.pid != 0) {
        return false;
    }
    const bool given_up = state->state == State::stopping && state->phase == Phase::waiting;
    return state->phase == Phase::launching || given_up;
}

std::string Engine::stop_reason(UnitId id) const {
    const UnitState& state = unit(id).state;
    if (stopping_all_) {
        return "stopped: everything is being stopped";
    }
    if (state.held) {
        for (UnitId rival : graph_[id].conflicts) {
            if (has_body(rival) || unit(rival).state.state == State::starting) {
                return "conflict: " + name(rival) + " was started";
            }
        }
        return "stopped: it was stopped by name";
    }
    if (state.origin == Origin::leaving) {
        return "stopped: its file is gone";
    }
    if (!unit(id).wanted) {
        return "stopped: nothing wants it any more";
    }
    if (state.restarting) {
        return "stopped: to be started again";
    }
    const auto need = lost_need(id);
    return need ? "dependency: " + describe_need(*need) : std::string();
}

std::string Engine::describe_need(UnitId id) const {
    const UnitState& state = unit(id).state;
    if (!graph_[id].refusal.empty()) {
        return name(id) + " cannot be started";
    }
    if (state.state == State::failed) {
        return name(id) + " failed";
    }
    if (state.held) {
        return name(id) + " was stopped";
    }
    if (state.restarting || state.due || state.state == State::backoff || state.state == State::starting) {
        return name(id) + " starts again";
    }
    return name(id) + (state.state == State::stopping ? " stops" : " is not running");
}

// The unit that explains this one's state, if another does.
std::optional<UnitId> Engine::cause(UnitId id) const {
    const UnitState& state = unit(id).state;
    if (state.state == State::starting && state.phase == Phase::waiting) {
        const Blocker blocker = start_blocker(id);
        return blocker.verdict == Verdict::go ? std::nullopt : std::optional(blocker.unit);
    }
    if (state.state == State::stopping && state.phase == Phase::waiting) {
        return stop_blocker(id);
    }
    return state.lost ? lost_need(id) : std::nullopt;
}

std::string Engine::reason(std::string_view unit_name) const {
    const auto id = graph_.find(unit_name);
    if (!id) {
        return {};
    }
    const UnitState& state = unit(*id).state;
    if (state.state == State::starting && state.phase == Phase::waiting) {
        const auto blocker = cause(*id);
        return blocker ? "waiting: for " + name(*blocker) : std::string();
    }
    // Why it cannot come up is what people want to know of a unit that is down without a reason of its own.
    return is_down(state.state) && state.reason.empty() ? graph_[*id].refusal : state.reason;
}

std::string Engine::waiting_for(std::string_view unit_name, TimePoint now) const {
    const auto id = graph_.find(unit_name);
    if (!id) {
        return {};
    }
    const UnitState& state = unit(*id).state;
    const std::string process =
        state.main.pid != 0 ? "process " + std::to_string(state.main.pid) : "the processes of its group";
    const std::string time = state.deadline ? base::describe_duration(*state.deadline - now) : "";
    if (const auto blocker = cause(*id); blocker && state.phase == Phase::waiting) {
        const std::string how = state.state == State::stopping
                                    ? " to stop first"
                                    : ", which is " + std::string(name_of(unit(*blocker).state.state));
        return state.name + " waits for " + name(*blocker) + how;
    }
    switch (state.state) {
        case State::starting: {
            const std::string what = declared(*id).type == ServiceType::notify ? "READY=1 from " : "";
            return state.name + " waits for " + what + process + (what.empty() ? " to get ready" : "") +
                   (time.empty() ? "" : ", for at most " + time + " more");
        }
        case State::stopping:
            if (state.phase == Phase::killed) {
                return state.name + " waits for " + process + ", which has been sent SIGKILL";
            }
            return state.name + " waits for " + process + " to end" +
                   (time.empty() ? "" : "; SIGKILL in " + time);
        case State::reloading:
            return state.name + " reloads" + (time.empty() ? "" : ", for at most " + time + " more");
        case State::backoff:
            return state.name + " starts again in " + time + " (it ended with " + state.reason + ")";
        case State::inactive:
        case State::active:
        case State::done:
        case State::failed:
            break;
    }
    return {};
}

std::vector<std::string> Engine::why(std::string_view unit_name) const {
    std::vector<std::string> chain;
    // The edges have no cycle, but a conflict can make one.
    for (auto id = graph_.find(unit_name); id && std::ranges::find(chain, name(*id)) == chain.end();
         id = cause(*id)) {
        chain.push_back(name(*id));
    }
    return chain;
}

Progress Engine::progress(std::string_view unit_name) const {
    const auto id = graph_.find(unit_name);
    if (!id) {
        return Progress::down;
    }
    const UnitState& state = unit(*id).state;
    if (is_up(state.state) && !will_stop(*id)) {
        return Progress::up;
    }
    const bool is_final = state.state == State::inactive || state.state == State::failed;
    return is_final && !state.due ? Progress::down : Progress::under_way;
}

unsigned Engine::tries_left(std::string_view unit_name, TimePoint now) const {
    const auto id = graph_.find(unit_name);
    if (!id || declared(*id).start_limit.starts == unlimited_starts) {
        return unlimited_starts;
    }
    const StartLimit& limit = declared(*id).start_limit;
    const auto& starts = unit(*id).state.starts;
    const auto recent =
        std::ranges::count_if(starts, [&](TimePoint start) { return now - start < limit.window; });
    return limit.starts - std::min<unsigned>(limit.starts, static_cast<unsigned>(recent));
}

}  // namespace gpcsup::units
