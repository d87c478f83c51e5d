// Random graphs, random behaviours, random wishes, random crashes of the supervisor: what must always hold is
// checked by World after every step; here, that the machine always becomes quiet, and that a crash changes
// nothing.

#include <algorithm>
#include <catch2/catch.hpp>
#include <csignal>
#include <random>

#include "units/world.h"

using namespace gpcsup::units;
using namespace gpcsup::units::test;

namespace {

class Dice {
  public:
    explicit Dice(unsigned seed) : random_(seed) {}
    unsigned below(unsigned count) { return static_cast<unsigned>(random_() % count); }
    bool one_in(unsigned count) { return below(count) == 0; }

  private:
    std::mt19937 random_;
};

std::vector<Declaration> random_units(Dice& dice, unsigned count) {
    std::vector<Declaration> units;
    for (unsigned i = 0; i < count; ++i) {
        Declaration unit = service("u" + std::to_string(i), static_cast<ServiceType>(dice.below(4)));
        if (dice.one_in(8)) {
            unit = target("u" + std::to_string(i));
        }
        unit.restart = static_cast<RestartPolicy>(dice.below(4));
        unit.start_timeout = std::chrono::seconds(1 + dice.below(5));
        unit.stop_timeout = std::chrono::seconds(1 + dice.below(3));
        unit.enabled = !dice.one_in(4);
        if (dice.one_in(5)) {
            unit.stop_command = {"/bin/stop"};
        }
        for (unsigned edge = dice.below(4); edge > 0 && i > 0; --edge) {
            const std::string other = "u" + std::to_string(dice.below(i));
            Words* lists[] = {&unit.depends.requires_, &unit.depends.wants, &unit.depends.binds,
                              &unit.depends.after};
            lists[dice.below(4)]->edit().push_back(other);
        }
        const std::string rival = "u" + std::to_string(dice.below(i + 1));
        const auto needed = [&](const std::vector<std::string>& list) {
            return std::ranges::count(list, rival) != 0;
        };
        if (dice.one_in(8) && rival != unit.name && !needed(unit.depends.requires_) &&
            !needed(unit.depends.binds)) {
            unit.depends.conflicts.edit().push_back(rival);
        }
        units.push_back(std::move(unit));
    }
    return units;
}

Behaviour random_behaviour(Dice dice) {
    Behaviour behaviour;
    if (dice.one_in(12)) {
        behaviour.exec_error = "step execute: No such file or directory";
    }
    if (!dice.one_in(6)) {
        behaviour.ready = std::chrono::milliseconds(dice.below(2000));
    }
    if (dice.one_in(2)) {
        behaviour.lives = std::chrono::milliseconds(1 + dice.below(8000));
    }
    const ExitStatus statuses[] = {exit_with(0), exit_with(0), exit_with(1), killed_by(SIGSEGV),
                                   killed_by(SIGTERM)};
    behaviour.exit = statuses[dice.below(5)];
    behaviour.obeys = std::chrono::milliseconds(dice.below(500));
    if (dice.one_in(5)) {
        behaviour.obeys.reset();
    }
    behaviour.leaves_child = dice.one_in(3);
    if (dice.one_in(4)) {
        behaviour.child_obeys.reset();
    }
    if (dice.one_in(3)) {
        behaviour.child_lives = std::chrono::milliseconds(dice.below(9000));
    }
    return behaviour;
}

// Lives depend on the unit and the number of the life only, so that twin worlds play the same.
void give_behaviours(World& world, const std::vector<Declaration>& units, unsigned seed,
                     bool calm_in_the_end) {
    for (unsigned i = 0; i < units.size(); ++i) {
        const ServiceType type = units[i].type;
        world.behaviours[units[i].name] = [=](unsigned life) {
            if (calm_in_the_end && life > 6) {
                Behaviour calm{.ready = 1ms};
                if (type == ServiceType::oneshot || type == ServiceType::forking) {
                    calm.lives = 1ms;
                    calm.leaves_child = type == ServiceType::forking;
                }
                return calm;
            }
            return random_behaviour(Dice(seed * 7919 + i * 131 + life));
        };
    }
}

void random_wish(World& world, Dice& dice, unsigned units) {
    const std::string unit = "u" + std::to_string(dice.below(units));
    switch (dice.below(6)) {
        case 0:
        case 1:
            (void)world.engine().wish_start(unit, world.now());
            break;
        case 2:
            (void)world.engine().wish_stop(unit, world.now());
            break;
        case 3:
            (void)world.engine().wish_restart(unit, world.now());
            break;
        case 4:
            (void)world.engine().wish_reload(unit, world.now());
            break;
        default:
            (void)world.engine().wish_start("default", world.now());
            break;
    }
}

void check_quiet_after_stop(World& world) {
    world.engine().stop_all(world.now());
    world.run_until_idle();
    CHECK(world.all_quiet);
    CHECK(world.engine().quiet());
}

}  // namespace

TEST_CASE("random machines keep every promise and always become quiet") {
    for (unsigned seed = 1; seed <= 150; ++seed) {
        CAPTURE(seed);
        Dice dice(seed);
        const unsigned count = 2 + dice.below(14);
        const auto units = random_units(dice, count);
        World world(units);
        give_behaviours(world, units, seed, false);
        world.start("default");
        for (int i = 0; i < 40; ++i) {
            random_wish(world, dice, count);
            world.run_for(std::chrono::milliseconds(dice.below(3000)));
        }
        check_quiet_after_stop(world);
    }
}

TEST_CASE("left alone, a machine whose services have calmed down settles") {
    for (unsigned seed = 1; seed <= 100; ++seed) {
        CAPTURE(seed);
        Dice dice(seed * 31);
        const auto units = random_units(dice, 12);
        World world(units);
        give_behaviours(world, units, seed, true);
        world.start("default");
        world.run_until_idle(10h);
        for (const Declaration& unit : units) {
            INFO(unit.name << ": " << world.reason(unit.name));
            const State state = world.state(unit.name);
            CHECK((is_up(state) || state == State::inactive || state == State::failed));
        }
        check_quiet_after_stop(world);
    }
}

TEST_CASE("a successor that restores everything goes on exactly where the other was") {
    for (unsigned seed = 1; seed <= 60; ++seed) {
        CAPTURE(seed);
        Dice dice(seed * 17);
        const unsigned count = 2 + dice.below(12);
        const auto units = random_units(dice, count);
        World undisturbed(units);
        World crashing(units);
        for (World* world : {&undisturbed, &crashing}) {
            give_behaviours(*world, units, seed, false);
            world->start("default");
        }
        for (int i = 0; i < 30; ++i) {
            Dice twin = dice;
            random_wish(undisturbed, dice, count);
            random_wish(crashing, twin, count);
            const auto time = std::chrono::milliseconds(dice.below(2000));
            undisturbed.run_for(time);
            crashing.run_for(time);
            crashing.replace_engine(World::Crash::between_actions);
            REQUIRE(crashing.log == undisturbed.log);
        }
        check_quiet_after_stop(crashing);
        check_quiet_after_stop(undisturbed);
        CHECK(crashing.log == undisturbed.log);
    }
}

TEST_CASE("actions that a crash swallowed are repeated, and every promise holds") {
    for (unsigned seed = 1; seed <= 60; ++seed) {
        CAPTURE(seed);
        Dice dice(seed * 101);
        const unsigned count = 2 + dice.below(12);
        const auto units = random_units(dice, count);
        World world(units);
        give_behaviours(world, units, seed, true);
        world.start("default");
        for (int i = 0; i < 40; ++i) {
            random_wish(world, dice, count);
            if (dice.one_in(3)) {
                const auto downtime = dice.one_in(2) ? 0ms : std::chrono::milliseconds(dice.below(1500));
                world.replace_engine(World::Crash::losing_actions, downtime);
            }
            world.run_for(std::chrono::milliseconds(dice.below(2000)));
        }
        world.run_until_idle(10h);
        check_quiet_after_stop(world);
    }
}

TEST_CASE("events that make no sense are survived") {
    for (unsigned seed = 1; seed <= 60; ++seed) {
        CAPTURE(seed);
        Dice dice(seed * 1009);
        const auto units = random_units(dice, 6);
        Engine engine(UnitGraph::build(units).graph);
        TimePoint now(1s);
        REQUIRE(engine.wish_start("default", now).has_value());
        for (int i = 0; i < 600; ++i) {
            const std::string unit = dice.one_in(20) ? "unknown" : "u" + std::to_string(dice.below(6));
            const gpcsup::base::ProcessId process{static_cast<pid_t>(1 + dice.below(3)), 1};
            now += std::chrono::milliseconds(dice.below(500));
            switch (dice.below(16)) {
                case 0:
                    engine.process_started(unit, process, now);
                    break;
                case 1:
                    engine.exec_succeeded(unit, now);
                    break;
                case 2:
                    engine.exec_failed(unit, "step plan: no", now);
                    break;
                case 3:
                    engine.ready(unit, now);
                    break;
                case 4:
                    engine.reloading(unit, now);
                    break;
                case 5:
                    engine.extend_timeout(unit, gpcsup::base::Duration::max(), now);
                    break;
                case 6:
                    engine.main_changed(unit, process);
                    break;
                case 7:
                    engine.main_exited(unit, process, exit_with(static_cast<int>(dice.below(2))), now);
                    break;
                case 8:
                    engine.command_exited(unit, exit_with(0), now);
                    break;
                case 9:
                    engine.group_empty(unit, now);
                    break;
                case 10:
                    engine.group_populated(unit);
                    break;
                case 11:
                    engine.carried_out(unit);
                    break;
                case 12:
                    (void)engine.wish_start(unit, now);
                    break;
                case 13:
                    (void)engine.wish_restart(unit, now);
                    break;
                case 14:
                    (void)engine.wish_stop(unit, now);
                    break;
                default:
                    engine.tick(now);
                    break;
            }
            (void)engine.waiting_for(unit, now);
            CHECK(engine.why(unit).size() <= 8);
            (void)engine.take_actions();
            (void)engine.take_changed();
        }
    }
}
