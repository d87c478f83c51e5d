// Phase one: who is wanted. Counts along the pulling edges, which have no cycle, so that counting is exact.

#include <algorithm>
#include <cerrno>

#include "units/engine.h"
#include "units/names.h"

namespace gpcsup::units {

base::Result<UnitId> Engine::known(std::string_view name) const {
    if (const auto id = graph_.find(name)) {
        return *id;
    }
    const auto near = graph_.nearest_name(name);
    return base::refuse(ENOENT, "there is no unit \"" + std::string(name) + "\"",
                        near ? "did you mean \"" + std::string(*near) + "\"?" : std::string());
}

bool Engine::is_wanted(UnitId id) const {
    const UnitState& state = unit(id).state;
    if (stopping_all_ || state.held || state.origin == Origin::leaving) {
        return false;
    }
    return state.wished || unit(id).pulled_by > 0;
}

base::Result<> Engine::wish_start(std::string_view name, TimePoint now) {
    now_ = now;
    base::Result<UnitId> id = known(name);
    if (!id) {
        return base::pass(id);
    }
    if (stopping_all_) {
        return base::refuse(ESHUTDOWN, "everything is being stopped");
    }
    if (const std::string& refusal = graph_[*id].refusal; !refusal.empty()) {
        return base::refuse(EINVAL, "\"" + std::string(name) + "\" cannot be started: " + refusal);
    }
    if (unit(*id).state.origin == Origin::leaving) {
        return base::refuse(EINVAL, "\"" + std::string(name) + "\" cannot be started: its file is gone");
    }
    unit(*id).state.wished = true;
    changed(*id);
    pull_in(*id);
    drain();
    return {};
}

// A start by name takes everything along that it pulls in, also what had been stopped by name or has failed.
void Engine::pull_in(UnitId id) {
    std::vector<UnitId> reached = {id};
    std::vector<bool> seen(units_.size());
    seen[id.value] = true;
    for (std::size_t next = 0; next < reached.size(); ++next) {
        const UnitId current = reached[next];
        unit(current).state.held = false;
        make_due(current);
        queue_wish(current);
        for (const Edge& edge : graph_[current].predecessors) {
            if (pulls(edge.kind) && !seen[edge.unit.value]) {
                seen[edge.unit.value] = true;
                reached.push_back(edge.unit);
            }
        }
    }
}

void Engine::make_due(UnitId id) {
    UnitState& state = unit(id).state;
    if (is_down(state.state) || state.state == State::stopping) {
        state.due = true;
        forget_failures(id);
        queue_step(id);
        queue_neighbours(id);
    }
    changed(id);
}

void Engine::forget_failures(UnitId id) {
    UnitState& state = unit(id).state;
    state.starts.clear();
    state.delay = {};
    state.restarts = 0;
}

base::Result<> Engine::wish_stop(std::string_view name, TimePoint now) {
    now_ = now;
    base::Result<UnitId> id = known(name);
    if (!id) {
        return base::pass(id);
    }
    hold(*id);
    if (unit(*id).state.state == State::failed) {
        enter(*id, Event::clear, {});
    }
    drain();
    return {};
}

void Engine::hold(UnitId id) {
    UnitState& state = unit(id).state;
    state.wished = false;
    state.held = true;
    state.due = false;
    state.lost = false;
    state.restarting = false;
    changed(id);
    queue_wish(id);
    queue_step(id);
    queue_neighbours(id);
}

base::Result<> Engine::wish_restart(std::string_view name, TimePoint now) {
    base::Result<UnitId> id = known(name);
    if (!id) {
        return base::pass(id);
    }
    if (!has_body(*id) || unit(*id).state.state == State::stopping) {
        return wish_start(name, now);
    }
    now_ = now;
    if (stopping_all_) {
        return base::refuse(ESHUTDOWN, "everything is being stopped");
    }
    UnitState& state = unit(*id).state;
    if (state.origin != Origin::file || !graph_[*id].refusal.empty()) {
        return base::refuse(EINVAL,
                            "\"" + std::string(name) + "\" cannot be started again once it has stopped");
    }
    state.held = false;
    state.wished = state.wished || unit(*id).pulled_by == 0;
    state.restarting = true;
    forget_failures(*id);
    changed(*id);
    queue_wish(*id);
    queue_step(*id);
    drain();
    return {};
}

base::Result<> Engine::wish_reload(std::string_view name, TimePoint now) {
    now_ = now;
    base::Result<UnitId> id = known(name);
    if (!id) {
        return base::pass(id);
    }
    const UnitState& state = unit(*id).state;
    const bool by_command = !declared(*id).reload_command.empty();
    const std::string quoted = "\"" + std::string(name) + "\"";
    if (declared(*id).kind == UnitKind::target) {
        return base::refuse(EINVAL, quoted + " is a target: it has nothing to reload");
    }
    if (state.state != State::active) {
        return base::refuse(
            ESRCH, quoted + " is " + std::string(name_of(state.state)) + ": only what is active reloads");
    }
    if (!by_command && state.main.pid == 0) {
        return base::refuse(EINVAL, quoted + " has no known main process to send SIGHUP to",
                            "give it a reload_command");
    }
    enter(*id, Event::reload, {});
    deadline_in(*id, declared(*id).start_timeout);
    act(*id, by_command ? ActionKind::run_reload_command : ActionKind::send_reload_signal);
    drain();
    return {};
}

void Engine::stop_all(TimePoint now) {
    now_ = now;
    stopping_all_ = true;
    for (std::uint32_t row = 0; row < units_.size(); ++row) {
        if (graph_[UnitId(row)].declaration == nullptr) {
            continue;
        }
        UnitState& state = units_[row].state;
        state.due = state.lost = state.restarting = false;
        changed(UnitId(row));
        queue_wish(UnitId(row));
        queue_step(UnitId(row));
    }
    drain();
}

void Engine::settle_wish(UnitId id) {
    const bool wanted = is_wanted(id);
    if (unit(id).wanted == wanted) {
        return;
    }
    unit(id).wanted = wanted;
    for (const Edge& edge : graph_[id].predecessors) {
        if (pulls(edge.kind)) {
            unit(edge.unit).pulled_by += wanted ? 1 : -1;
            queue_wish(edge.unit);
        }
    }
    if (wanted && !recounting_) {
        make_due(id);
    }
    queue_step(id);
    queue_neighbours(id);
}

// After the edges changed: who is wanted now, and was not, becomes due; who runs is still wanted.
void Engine::recount(const std::vector<bool>& wanted_before) {
    for (std::uint32_t row = 0; row < units_.size(); ++row) {
        units_[row].wanted = false;
        units_[row].pulled_by = 0;
        units_[row].wish_queued = false;
        units_[row].step_queued = false;
    }
    wishes_.clear();
    steps_.clear();
    recounting_ = true;
    for (std::uint32_t row = 0; row < units_.size(); ++row) {
        if (graph_[UnitId(row)].declaration != nullptr) {
            queue_wish(UnitId(row));
            queue_step(UnitId(row));
        }
    }
    settle_wishes();
    keep_running(wanted_before);
    settle_wishes();
    recounting_ = false;
    for (std::uint32_t row = 0; row < units_.size(); ++row) {
        if (units_[row].wanted && !wanted_before[row]) {
            make_due(UnitId(row));
        }
    }
}

void Engine::settle_wishes() {
    while (!wishes_.empty()) {
        const UnitId id = wishes_.front();
        wishes_.pop_front();
        unit(id).wish_queued = false;
        settle_wish(id);
    }
}

// Edges that are gone (of a unit that is disabled or masked, or wanted by another) say what starts from now
// on. What runs goes on as if it had been started by name, and keeps what it pulls in.
void Engine::keep_running(const std::vector<bool>& wanted_before) {
    std::vector<bool> left(units_.size());
    for (std::uint32_t row = 0; row < units_.size(); ++row) {
        const UnitState& state = units_[row].state;
        left[row] = wanted_before[row] && !units_[row].wanted && graph_[UnitId(row)].declaration != nullptr &&
                    has_body(UnitId(row)) && state.state != State::stopping && !state.held &&
                    state.origin == Origin::file;
    }
    for (std::uint32_t row = 0; row < units_.size(); ++row) {
        const bool comes_along = std::ranges::any_of(graph_[UnitId(row)].successors, [&](const Edge& edge) {
            return pulls(edge.kind) && left[edge.unit.value];
        });
        if (left[row] && !comes_along) {
            units_[row].state.wished = true;
            changed(UnitId(row));
            queue_wish(UnitId(row));
        }
    }
}

void Engine::drain() {
    if (recovery_ != Recovery::over) {
        return;
    }
    // Each step moves a unit along the table or leaves it, and nothing moves twice without an event or a
    // deadline. The budget is far above what any graph needs: it turns a mistake in here into a slow loop
    // instead of a dead one.
    const std::size_t budget = 1000 + 64 * units_.size();
    for (std::size_t done = 0; done < budget; ++done) {
        if (!drain_some()) {
            break;
        }
    }
    if (stopping_all_ && !told_quiet_ && quiet()) {
        told_quiet_ = true;
        actions_.push_back({.kind = ActionKind::all_quiet, .unit = {}, .reason = {}});
    }
}

bool Engine::drain_some() {
    if (!wishes_.empty()) {
        const UnitId id = wishes_.front();
        wishes_.pop_front();
        unit(id).wish_queued = false;
        if (graph_[id].declaration != nullptr) {
            settle_wish(id);
        }
        return true;
    }
    if (!steps_.empty()) {
        const UnitId id = steps_.front();
        steps_.pop_front();
        unit(id).step_queued = false;
        if (graph_[id].declaration != nullptr) {
            step(id);
        }
        return true;
    }
    return false;
}

}  // namespace gpcsup::units
