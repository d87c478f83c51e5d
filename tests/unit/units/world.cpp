#include "units/world.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <csignal>

#include "units/names.h"

namespace gpcsup::units::test {

Declaration service(std::string name, ServiceType type) {
    Declaration declaration;
    declaration.name = std::move(name);
    declaration.type = type;
    declaration.command = {"/bin/" + declaration.name};
    return declaration;
}

Declaration target(std::string name) {
    Declaration declaration;
    declaration.name = std::move(name);
    declaration.kind = UnitKind::target;
    return declaration;
}

World::World(std::vector<Declaration> declarations) : declarations_(std::move(declarations)) {
    auto built = UnitGraph::build(declarations_);
    engine_ = std::make_unique<Engine>(std::move(built.graph));
}

void World::REQUIRE_OK(const base::Result<>& result) {
    INFO((result ? std::string() : result.error().message()));
    REQUIRE(result.has_value());
}

void World::settle() {
    for (int round = 0; round < 100'000; ++round) {
        (void)engine_->take_changed();
        const auto actions = engine_->take_actions();
        if (actions.empty()) {
            if (declarations_.size() < 100 || ++settled_ % 100 == 0) {
                check_always();
            }
            return;
        }
        for (const Action& action : actions) {
            carry_out(action);
        }
    }
    FAIL("the engine never becomes quiet");
}

void World::run_for(base::Duration time) {
    const TimePoint end = now_ + time;
    settle();
    while (true) {
        std::optional<TimePoint> next = engine_->next_deadline();
        if (!events_.empty() && (!next || events_.begin()->first <= *next)) {
            next = events_.begin()->first;
        }
        if (!next || *next > end) {
            break;
        }
        now_ = std::max(now_, *next);
        while (!events_.empty() && events_.begin()->first <= now_) {
            auto what = std::move(events_.begin()->second);
            events_.erase(events_.begin());
            what();
            settle();
        }
        engine_->tick(now_);
        settle();
    }
    now_ = end;
}

void World::run_until_idle(base::Duration at_most) {
    const TimePoint end = now_ + at_most;
    settle();
    while (!events_.empty() || engine_->next_deadline()) {
        REQUIRE(now_ <= end);
        run_for(1s);
    }
}

void World::carry_out(const Action& action) {
    const std::string& unit = action.unit;
    switch (action.kind) {
        case ActionKind::state_changed:
            REQUIRE(action.from != action.to);
            log.push_back(unit + ": " + std::string(name_of(action.from)) + " -> " +
                          std::string(name_of(action.to)));
            if (is_up(action.to) && action.from == State::starting) {
                order.push_back("+" + unit);
            } else if (is_down(action.to) && action.from == State::stopping) {
                order.push_back("-" + unit);
            }
            return;
        case ActionKind::removed:
            removed.push_back(action);
            log.push_back(unit + ": removed");
            return;
        case ActionKind::all_quiet:
            all_quiet = true;
            return;
        case ActionKind::start_process:
            log.push_back(unit + ": start");
            begin_life(unit);
            return;
        case ActionKind::run_stop_command:
        case ActionKind::run_reload_command:
            log.push_back(
                unit + (action.kind == ActionKind::run_stop_command ? ": stop command" : ": reload command"));
            engine_->carried_out(unit);
            at(1ms, [this, unit] { engine_->command_exited(unit, command_exit(unit), now_); });
            return;
        case ActionKind::send_reload_signal:
            CHECK(action.signal == SIGHUP);
            CHECK(action.process == main_of(unit));
            log.push_back(unit + ": HUP");
            engine_->carried_out(unit);
            return;
        case ActionKind::send_stop_signal:
        case ActionKind::terminate_group:
        case ActionKind::kill_group:
            break;
    }
    engine_->carried_out(unit);
    Life& life = lives_[unit];
    const base::ProcessId process = life.main;
    if (action.kind == ActionKind::kill_group) {
        log.push_back(unit + ": KILL");
        if (!life.behaviour.immortal) {
            at(1us, [this, unit, process] {
                if (lives_[unit].main == process && lives_[unit].child_alive) {
                    lives_[unit].child_alive = false;
                }
                end_main(unit, process, killed_by(SIGKILL));
                report_group(unit);
            });
        }
        return;
    }
    const bool whole_group = action.kind == ActionKind::terminate_group || action.process.pid == 0;
    log.push_back(unit + (whole_group ? ": TERM all" : ": " + signal_name(action.signal)));
    life.told_to_stop = true;
    if (life.main_alive && life.behaviour.obeys) {
        at(*life.behaviour.obeys,
           [this, unit, process] { end_main(unit, process, lives_[unit].behaviour.stopped_exit); });
    }
    if (whole_group && life.child_alive && life.behaviour.child_obeys) {
        at(*life.behaviour.child_obeys, [this, unit, process] { end_child(unit, process); });
    }
}

void World::begin_life(const std::string& unit) {
    check_start(unit);
    Life life;
    const unsigned number = ++life_count_[unit];
    if (const auto found = behaviours.find(unit); found != behaviours.end()) {
        life.behaviour = found->second(number);
    }
    life.main = {next_pid_++, 1};
    life.main_alive = true;
    const base::ProcessId process = life.main;
    const Behaviour behaviour = life.behaviour;
    lives_[unit] = std::move(life);
    engine_->process_started(unit, process, now_);
    const auto alive = [this, unit, process] {
        return lives_[unit].main == process && lives_[unit].main_alive;
    };
    if (!behaviour.exec_error.empty()) {
        at(10us, [this, unit, process, alive, behaviour] {
            if (alive()) {
                engine_->exec_failed(unit, behaviour.exec_error, now_);
                end_main(unit, process, exit_with(127));
            }
        });
        return;
    }
    at(100us, [this, unit, alive, behaviour] {
        if (alive()) {
            lives_[unit].child_alive = behaviour.leaves_child;
            engine_->exec_succeeded(unit, now_);
        }
    });
    if (behaviour.ready) {
        at(100us + *behaviour.ready, [this, unit, alive] {
            if (alive()) {
                engine_->ready(unit, now_);
            }
        });
    }
    if (behaviour.lives) {
        at(100us + *behaviour.lives,
           [this, unit, process, behaviour] { end_main(unit, process, behaviour.exit); });
    }
    if (behaviour.child_lives) {
        at(100us + *behaviour.child_lives, [this, unit, process] { end_child(unit, process); });
    }
}

void World::end_main(const std::string& unit, base::ProcessId process, ExitStatus status) {
    Life& life = lives_[unit];
    if (life.main != process || !life.main_alive) {
        return;
    }
    life.main_alive = false;
    if (!life.child_alive) {
        engine_->group_empty(unit, now_);  // the caller's duty: membership first, then the exit
    }
    engine_->main_exited(unit, process, status, now_);
}

void World::end_child(const std::string& unit, base::ProcessId process) {
    Life& life = lives_[unit];
    if (life.main == process && life.child_alive) {
        life.child_alive = false;
        report_group(unit);
    }
}

void World::report_group(const std::string& unit) {
    if (!has_processes(unit)) {
        engine_->group_empty(unit, now_);
    }
}

bool World::has_processes(const std::string& unit) const {
    const auto found = lives_.find(unit);
    return found != lives_.end() && (found->second.main_alive || found->second.child_alive);
}

base::ProcessId World::main_of(const std::string& unit) const {
    return lives_.at(unit).main;
}

void World::kill_main(const std::string& unit, ExitStatus status) {
    end_main(unit, main_of(unit), status);
    settle();
}

// Never started before what it needs, nor while something of it is left, nor beside what it conflicts with.
void World::check_start(const std::string& unit) const {
    INFO("start of " << unit);
    CHECK_FALSE(has_processes(unit));
    const Declaration& declaration = *engine_->declaration(unit);
    for (const auto* list : {&declaration.depends.requires_, &declaration.depends.binds}) {
        for (const std::string& need : *list) {
            INFO("needs " << need);
            CHECK(is_up(state(need)));
        }
    }
    for (const std::string& rival : declaration.depends.conflicts) {
        INFO("conflicts with " << rival);
        CHECK_FALSE(has_processes(rival));
    }
}

// Plain conditions, since this runs after every step: a CHECK costs more than the engine.
void World::check_always() const {
    for (const auto& [unit, life] : lives_) {
        const UnitState* state = engine_->find(unit);
        if (state == nullptr || life.behaviour.immortal) {
            continue;
        }
        const bool survives = is_down(state->state) && has_processes(unit);
        if (survives || (life.main_alive && state->main != life.main)) {
            FAIL(unit << " is " << name_of(state->state) << " (" << state->reason << ") and has process "
                      << life.main.pid);
        }
    }
    for (std::string_view name : engine_->names()) {
        const UnitState& state = *engine_->find(name);
        const bool on_its_way = state.state == State::starting || state.state == State::stopping;
        if (on_its_way != (state.phase != Phase::none) || (state.held && state.due)) {
            FAIL(name << " contradicts itself in state " << name_of(state.state));
        }
    }
}

void World::replace_engine(Crash crash, base::Duration downtime) {
    if (crash == Crash::between_actions) {
        settle();
    }
    (void)engine_->take_actions();
    std::vector<UnitState> states;
    std::vector<Declaration> transient;
    for (std::string_view name : engine_->names()) {
        const auto decoded = decode_unit_state(encode(*engine_->find(name)));
        REQUIRE(decoded.has_value());
        REQUIRE(*decoded == *engine_->find(name));
        states.push_back(*decoded);
        if (decoded->origin == Origin::transient) {
            transient.push_back(*engine_->declaration(name));
        }
    }
    engine_ = std::make_unique<Engine>(UnitGraph::build(declarations_).graph);
    for (Declaration& declaration : transient) {
        engine_->restore_transient(std::move(declaration));
    }
    for (UnitState& state : states) {
        engine_->restore(std::move(state));
    }
    const TimePoint back = now_ + downtime;
    while (!events_.empty() && events_.begin()->first <= back) {
        now_ = std::max(now_, events_.begin()->first);
        auto what = std::move(events_.begin()->second);
        events_.erase(events_.begin());
        what();
    }
    now_ = back;
    engine_->resume(now_);
    settle();
}

std::vector<PlannedChange> World::plan(std::vector<Declaration> next) const {
    return engine_->plan(UnitGraph::build(std::move(next)).graph);
}

void World::apply(std::vector<Declaration> next) {
    declarations_ = std::move(next);
    engine_->replace_graph(UnitGraph::build(declarations_).graph, now_);
    settle();
}

}  // namespace gpcsup::units::test
