// Single units and small groups of them, life by life: how they start, end, restart, time out and stop.

#include <algorithm>
#include <catch2/catch.hpp>
#include <csignal>

#include "units/world.h"

using namespace gpcsup::units;
using namespace gpcsup::units::test;

namespace {

using Log = std::vector<std::string>;

Declaration with_restart(RestartPolicy policy, ServiceType type = ServiceType::simple) {
    Declaration unit = service("web", type);
    unit.restart = policy;
    return unit;
}

}  // namespace

TEST_CASE("each type of service is up when it says so, and not before") {
    struct Row {
        ServiceType type;
        Behaviour behaviour;
        Log log;
        State at_last;
        const char* reason;
    };
    const Row rows[] = {
        {ServiceType::simple,
         {},
         {"web: inactive -> starting", "web: start", "web: starting -> active"},
         State::active,
         ""},
        {ServiceType::notify,
         {.ready = 5s},
         {"web: inactive -> starting", "web: start", "web: starting -> active"},
         State::active,
         ""},
        {ServiceType::oneshot,
         {.lives = 3s},
         {"web: inactive -> starting", "web: start", "web: starting -> done"},
         State::done,
         ""},
        {ServiceType::oneshot,
         {.lives = 3s, .leaves_child = true},
         {"web: inactive -> starting", "web: start", "web: starting -> done"},
         State::done,
         ""},
        {ServiceType::forking,
         {.lives = 3s, .leaves_child = true},
         {"web: inactive -> starting", "web: start", "web: starting -> active"},
         State::active,
         ""},
        {ServiceType::forking,
         {.lives = 3s},
         {"web: inactive -> starting", "web: start", "web: starting -> stopping", "web: stopping -> failed"},
         State::failed,
         "exit 0, and no process was left behind"},
        {ServiceType::oneshot,
         {.lives = 3s, .exit = exit_with(3)},
         {"web: inactive -> starting", "web: start", "web: starting -> stopping", "web: stopping -> failed"},
         State::failed,
         "exit 3"},
        {ServiceType::notify,
         {.lives = 1s},
         {"web: inactive -> starting", "web: start", "web: starting -> stopping", "web: stopping -> failed"},
         State::failed,
         "exit 0, before READY=1"},
        {ServiceType::notify,
         {},
         {"web: inactive -> starting", "web: start", "web: starting -> stopping", "web: TERM",
          "web: stopping -> failed"},
         State::failed,
         "timeout: no READY=1 in 1m30s; does the program call sd_notify?"},
        {ServiceType::simple,
         {.exec_error = "step user: unknown user 'x'"},
         {"web: inactive -> starting", "web: start", "web: starting -> stopping", "web: stopping -> failed"},
         State::failed,
         "exec: step user: unknown user 'x'"},
    };
    for (const Row& row : rows) {
        CAPTURE(row.reason, static_cast<int>(row.type));
        World world({with_restart(RestartPolicy::no, row.type)});
        world.behaviours["web"] = [&](unsigned) { return row.behaviour; };
        world.start("web");
        world.run_for(50us);
        CHECK_FALSE(is_up(world.state("web")));
        world.run_until_idle();
        CHECK(world.log == row.log);
        CHECK(world.state("web") == row.at_last);
        CHECK_THAT(world.reason("web"), Catch::StartsWith(row.reason));
        world.engine().stop_all(world.now());
        world.run_until_idle();
        CHECK(world.all_quiet);
        CHECK_FALSE(world.has_processes("web"));
    }
}

TEST_CASE("what ends by itself starts again as its policy says") {
    struct Row {
        RestartPolicy policy;
        ExitStatus exit;
        bool again;
        State otherwise;
    };
    const Row rows[] = {
        {RestartPolicy::no, exit_with(0), false, State::inactive},
        {RestartPolicy::no, exit_with(1), false, State::failed},
        {RestartPolicy::no, killed_by(SIGSEGV), false, State::failed},
        {RestartPolicy::on_failure, exit_with(0), false, State::inactive},
        {RestartPolicy::on_failure, killed_by(SIGTERM), false, State::inactive},
        {RestartPolicy::on_failure, exit_with(1), true, {}},
        {RestartPolicy::on_failure, killed_by(SIGKILL), true, {}},
        {RestartPolicy::on_abnormal, exit_with(1), false, State::failed},
        {RestartPolicy::on_abnormal, killed_by(SIGABRT), true, {}},
        {RestartPolicy::always, exit_with(0), true, {}},
        {RestartPolicy::always, killed_by(SIGTERM), true, {}},
    };
    for (const Row& row : rows) {
        CAPTURE(static_cast<int>(row.policy), describe(row.exit));
        World world({with_restart(row.policy)});
        world.start("web");
        world.run_for(1s);
        world.kill_main("web", row.exit);
        CHECK(world.state("web") == (row.again ? State::backoff : row.otherwise));
        CHECK(world.reason("web") == describe(row.exit));
        CHECK(world.engine().find("web")->exit == row.exit);
        world.run_for(99ms);
        CHECK_FALSE(world.has_processes("web"));
        world.run_for(2ms);
        CHECK(world.has_processes("web") == row.again);
        CHECK(world.engine().find("web")->restarts == (row.again ? 1 : 0));
    }
}

TEST_CASE("the pause between restarts doubles, and starts anew after a minute of work") {
    Declaration web = with_restart(RestartPolicy::always);
    web.start_limit.starts = unlimited_starts;
    World world({web});
    world.start("web");
    world.run_for(1s);
    for (auto pause : {100ms, 200ms, 400ms, 800ms}) {
        world.kill_main("web", exit_with(1));
        world.run_for(pause - 1ms);
        CHECK(world.state("web") == State::backoff);
        world.run_for(2ms);
        CHECK(world.state("web") == State::active);
    }
    world.run_for(59s);
    world.kill_main("web", exit_with(1));
    world.run_for(1500ms);
    CHECK(world.state("web") == State::backoff);
    world.run_for(101ms);
    CHECK(world.state("web") == State::active);
    world.run_for(60s);
    world.kill_main("web", exit_with(1));
    world.run_for(101ms);
    CHECK(world.state("web") == State::active);
}

TEST_CASE("too many starts in the window are a failure, until it is started by name") {
    Declaration web = with_restart(RestartPolicy::on_failure);
    World world({web});
    world.behaviours["web"] = [](unsigned life) {
        return life <= 6 ? Behaviour{.lives = 1ms, .exit = exit_with(3)} : Behaviour{};
    };
    world.start("web");
    world.run_until_idle();
    CHECK(world.state("web") == State::failed);
    CHECK(world.reason("web") == "start-limit: 5 starts in 10s; the last ended with exit 3");
    CHECK(std::ranges::count(world.log, "web: start") == 5);
    CHECK(world.engine().find("web")->restarts == 4);
    CHECK(world.engine().tries_left("web", world.now()) == 0);
    CHECK(world.engine().tries_left("web", world.now() + 10s) == 5);
    world.take_log();
    world.start("web");
    world.run_until_idle();
    CHECK(world.state("web") == State::active);
    CHECK(world.engine().find("web")->restarts == 1);
    CHECK(world.engine().tries_left("web", world.now()) == 3);

    SECTION("spread over a longer time they are none") {
        web.restart_delay = 2100ms;
        web.restart_delay_max = 2100ms;
        World slow({web});
        slow.behaviours["web"] = [](unsigned) { return Behaviour{.lives = 1ms, .exit = exit_with(3)}; };
        slow.start("web");
        slow.run_for(60s);
        CHECK(std::ranges::count(slow.log, "web: start") > 20);
    }
}

TEST_CASE("a program that cannot be executed is tried again only when it ran before") {
    World world({with_restart(RestartPolicy::on_failure)});
    world.behaviours["web"] = [](unsigned life) {
        return life == 2 ? Behaviour{.exec_error = "step execute: No such file or directory"} : Behaviour{};
    };
    world.start("web");
    world.run_for(1s);
    world.kill_main("web", exit_with(1));
    world.run_for(1s);
    CHECK(world.state("web") == State::active);
    CHECK(std::ranges::count(world.log, "web: start") == 3);
}

TEST_CASE("a service is stopped when its group is empty, politely first") {
    struct Row {
        Behaviour behaviour;
        Log log;  // behind "active -> stopping"
        gpcsup::base::Duration takes;
        const char* reason;
    };
    const Row rows[] = {
        {{}, {"web: TERM", "web: stopping -> inactive"}, 0s, "stopped: it was stopped by name"},
        {{.obeys = 9s}, {"web: TERM", "web: stopping -> inactive"}, 9s, "stopped: it was stopped by name"},
        {{.obeys = std::nullopt},
         {"web: TERM", "web: KILL", "web: stopping -> inactive"},
         10s,
         "killed, as it was not gone 10s"},
        {{.leaves_child = true}, {"web: TERM", "web: TERM all", "web: stopping -> inactive"}, 0s, "stopped"},
        {{.obeys = 4s, .leaves_child = true, .child_obeys = 5s},
         {"web: TERM", "web: TERM all", "web: stopping -> inactive"},
         9s,
         "stopped"},
        {{.obeys = 4s, .leaves_child = true, .child_obeys = std::nullopt},
         {"web: TERM", "web: TERM all", "web: KILL", "web: stopping -> inactive"},
         10s,
         "killed"},
        {{.obeys = std::nullopt, .leaves_child = true, .immortal = true},
         {"web: TERM", "web: KILL", "web: stopping -> failed"},
         20s,
         "unkillable: "},
    };
    for (const Row& row : rows) {
        CAPTURE(row.log);
        World world({service("web")});
        world.behaviours["web"] = [&](unsigned) { return row.behaviour; };
        world.start("web");
        world.run_for(1s);
        world.take_log();
        world.stop("web");
        world.run_for(row.takes - 1ms);
        CHECK((row.takes == 0s || world.state("web") == State::stopping));
        world.run_for(2ms);
        Log expected = {"web: active -> stopping"};
        expected.insert(expected.end(), row.log.begin(), row.log.end());
        CHECK(world.log == expected);
        CHECK_THAT(world.reason("web"), Catch::Contains(row.reason));
        world.run_until_idle();
        CHECK(world.log == expected);
    }
}

TEST_CASE("what a crash leaves behind is ended before the service starts again") {
    World world({with_restart(RestartPolicy::always)});
    world.behaviours["web"] = [](unsigned) { return Behaviour{.leaves_child = true, .child_obeys = 2s}; };
    world.start("web");
    world.run_for(1s);
    world.take_log();
    world.kill_main("web", killed_by(SIGSEGV));
    CHECK(world.state("web") == State::stopping);
    CHECK(world.reason("web") == "signal SEGV");
    world.run_for(2s);
    CHECK(world.state("web") == State::backoff);
    world.run_for(101ms);
    CHECK(world.log == Log{"web: active -> stopping", "web: TERM all", "web: stopping -> backoff",
                           "web: backoff -> starting", "web: start", "web: starting -> active"});
}

TEST_CASE("stop and start at any moment end where the last wish wants it") {
    Declaration web = with_restart(RestartPolicy::always, ServiceType::notify);
    for (auto moment : {0us, 50us, 100us, 500us, 1'000'000us, 1'050'000us, 2'000'000us}) {
        CAPTURE(moment.count());
        World world({web});
        world.behaviours["web"] = [](unsigned) {
            return Behaviour{.ready = 1s, .lives = 1020ms, .obeys = 2s};
        };
        world.start("web");
        world.run_for(moment);
        world.stop("web");
        world.run_until_idle();
        CHECK(world.state("web") == State::inactive);
        CHECK_FALSE(world.has_processes("web"));

        world.behaviours["web"] = [](unsigned) { return Behaviour{.ready = 1s, .obeys = 2s}; };
        world.start("web");
        world.run_for(moment);
        world.stop("web");
        world.start("web");
        world.run_until_idle();
        CHECK(world.state("web") == State::active);
    }
}

TEST_CASE("a start that nobody has carried out yet is taken back") {
    Engine engine(UnitGraph::build({service("web")}).graph);
    REQUIRE(engine.wish_start("web", TimePoint(1s)).has_value());
    REQUIRE(engine.wish_stop("web", TimePoint(1s)).has_value());
    for (const Action& action : engine.take_actions()) {
        CHECK(action.kind == ActionKind::state_changed);
    }
    CHECK(engine.find("web")->state == State::inactive);

    SECTION("and one that has been handed out is waited for") {
        REQUIRE(engine.wish_start("web", TimePoint(2s)).has_value());
        CHECK(engine.take_actions().back().kind == ActionKind::start_process);
        CHECK(engine.expects_process("web"));
        REQUIRE(engine.wish_stop("web", TimePoint(2s)).has_value());
        CHECK(engine.expects_process("web"));
        CHECK(engine.find("web")->state == State::stopping);
        for (const Action& action : engine.take_actions()) {
            CHECK(action.kind == ActionKind::state_changed);
        }
        SECTION("until its process is there") {
            engine.process_started("web", {77, 1}, TimePoint(2s));
            CHECK_FALSE(engine.expects_process("web"));
            CHECK(engine.unit_of_main({77, 1}) == "web");
            CHECK(engine.unit_of_main({77, 2}).empty());
            CHECK(engine.unit_of_main({0, 0}).empty());
            const auto actions = engine.take_actions();
            REQUIRE(actions.size() == 1);
            CHECK(actions[0].kind == ActionKind::send_stop_signal);
            CHECK(actions[0].process.pid == 77);
        }
        SECTION("or is known never to come") {
            engine.exec_failed("web", "step fork: Resource temporarily unavailable", TimePoint(2s));
            CHECK(engine.find("web")->state == State::inactive);
        }
        SECTION("or a successor knows that it never came") {
            engine.resume(TimePoint(3s));
            CHECK(engine.find("web")->state == State::inactive);
        }
    }
}

TEST_CASE("stop and reload commands run instead of signals") {
    Declaration web = service("web");
    web.stop_command = {"/bin/stop"};
    web.reload_command = {"/bin/reload"};
    World world({web});
    world.start("web");
    world.run_for(1s);
    world.take_log();
    REQUIRE(world.engine().wish_reload("web", world.now()).has_value());
    world.settle();
    CHECK(world.state("web") == State::reloading);
    world.run_for(1s);
    CHECK(world.log == Log{"web: active -> reloading", "web: reload command", "web: reloading -> active"});
    CHECK(world.reason("web").empty());
    world.command_exit = [](const std::string&) { return exit_with(1); };
    REQUIRE(world.engine().wish_reload("web", world.now()).has_value());
    world.run_for(1s);
    CHECK(world.reason("web") == "reload: the reload_command ended with exit 1");
    world.take_log();
    world.stop("web");
    world.run_for(1s);
    CHECK(world.log ==
          Log{"web: active -> stopping", "web: stop command", "web: TERM", "web: stopping -> inactive"});

    SECTION("also for a oneshot that has nothing running any more") {
        Declaration network = service("network", ServiceType::oneshot);
        network.stop_command = {"/bin/down"};
        World once({network});
        once.behaviours["network"] = [](unsigned) { return Behaviour{.lives = 1s}; };
        once.start("network");
        once.run_for(2s);
        CHECK(once.state("network") == State::done);
        once.take_log();
        once.stop("network");
        once.run_for(1s);
        CHECK(once.log ==
              Log{"network: done -> stopping", "network: stop command", "network: stopping -> inactive"});
    }
}

TEST_CASE("a reload by signal is over at once, unless the service says that it reloads") {
    World world({service("web", ServiceType::notify)});
    world.behaviours["web"] = [](unsigned) { return Behaviour{.ready = 0s}; };
    const auto refused = world.engine().wish_reload("web", world.now());
    REQUIRE_FALSE(refused.has_value());
    CHECK(refused.error().code == ESRCH);
    world.start("web");
    world.run_for(1s);
    world.take_log();
    REQUIRE(world.engine().wish_reload("web", world.now()).has_value());
    world.settle();
    CHECK(world.log == Log{"web: active -> reloading", "web: HUP", "web: reloading -> active"});
    world.engine().reloading("web", world.now());
    CHECK(world.state("web") == State::reloading);
    SECTION("until READY=1") {
        world.engine().ready("web", world.now());
        CHECK(world.state("web") == State::active);
    }
    SECTION("or the timeout") {
        world.run_until_idle();
        CHECK(world.state("web") == State::active);
        CHECK_THAT(world.reason("web"), Catch::StartsWith("timeout: it has not reloaded in 1m30s"));
    }
    SECTION("and it can be stopped meanwhile") {
        world.stop("web");
        world.run_until_idle();
        CHECK(world.state("web") == State::inactive);
    }
}

TEST_CASE("a service may ask for more time, never for less") {
    World world({with_restart(RestartPolicy::no, ServiceType::notify)});
    world.start("web");
    world.run_for(80s);
    world.engine().extend_timeout("web", 30s, world.now());
    world.engine().extend_timeout("web", 5s, world.now());
    world.run_for(29s);
    CHECK(world.state("web") == State::starting);
    CHECK(world.engine().waiting_for("web", world.now()) ==
          "web waits for READY=1 from process 100, for at most 1 s more");
    world.run_for(2s);
    CHECK(world.state("web") == State::failed);
}

TEST_CASE("a timeout of \"max\" never comes") {
    Declaration web = service("web", ServiceType::notify);
    web.start_timeout = no_timeout;
    web.stop_timeout = no_timeout;
    World world({web});
    world.behaviours["web"] = [](unsigned) { return Behaviour{.obeys = 40min}; };
    world.start("web");
    world.run_for(50min);
    CHECK(world.state("web") == State::starting);
    world.stop("web");
    world.run_for(39min);
    CHECK(world.state("web") == State::stopping);
    world.run_for(2min);
    CHECK(world.state("web") == State::inactive);
}

TEST_CASE("a daemon without a known main process lives as long as its group") {
    Declaration web = service("web", ServiceType::forking);
    World world({web});
    world.behaviours["web"] = [](unsigned life) {
        return life == 1 ? Behaviour{.lives = 1s, .leaves_child = true, .child_lives = 5s}
                         : Behaviour{.lives = 1s, .leaves_child = true};
    };
    world.start("web");
    world.run_for(2s);
    CHECK(world.state("web") == State::active);
    world.run_for(3100ms);
    CHECK(world.state("web") == State::backoff);
    CHECK_THAT(world.reason("web"), Catch::StartsWith("vanished"));
    world.run_for(2s);
    CHECK(world.state("web") == State::active);
    world.take_log();
    world.stop("web");
    world.run_for(1s);
    CHECK(world.log == Log{"web: active -> stopping", "web: TERM all", "web: stopping -> inactive"});
}

TEST_CASE("wishes that cannot be are refused with the reason") {
    Declaration masked = service("masked");
    masked.masked = true;
    World world({service("web"), masked, target("t")});
    const auto refusal = [&](const gpcsup::base::Result<>& result) {
        REQUIRE_FALSE(result.has_value());
        return std::pair(result.error().code, result.error().message());
    };
    CHECK(refusal(world.engine().wish_start("wbe", world.now())).second ==
          "there is no unit \"wbe\"; did you mean \"web\"?");
    CHECK(refusal(world.engine().wish_stop("nothing-like-it", world.now())).first == ENOENT);
    CHECK(refusal(world.engine().wish_start("masked", world.now())).first == EINVAL);
    CHECK(refusal(world.engine().wish_restart("masked", world.now())).first == EINVAL);
    CHECK(refusal(world.engine().wish_reload("t", world.now())).first == EINVAL);
    world.engine().stop_all(world.now());
    CHECK(refusal(world.engine().wish_start("web", world.now())).first == ESHUTDOWN);
    CHECK(refusal(world.engine().start_transient(service("run-1"), world.now())).first == ESHUTDOWN);
}

TEST_CASE("a transient unit runs once, is removed, and leaves its exit status") {
    World world({service("web")});
    SECTION("a oneshot that exits") {
        world.behaviours["run-1"] = [](unsigned) { return Behaviour{.lives = 1s, .exit = exit_with(7)}; };
        REQUIRE(
            world.engine().start_transient(service("run-1", ServiceType::oneshot), world.now()).has_value());
        CHECK_FALSE(world.engine().start_transient(service("run-1"), world.now()).has_value());
        world.settle();
        CHECK(world.has_processes("run-1"));
        world.replace_engine(World::Crash::between_actions);
        world.run_until_idle();
        REQUIRE(world.removed.size() == 1);
        CHECK(world.removed[0].exit == exit_with(7));
        CHECK(world.removed[0].reason == "exit 7");
    }
    SECTION("a good one, with processes left behind, stays until they are gone") {
        world.behaviours["run-1"] = [](unsigned) {
            return Behaviour{.lives = 1s, .leaves_child = true, .child_lives = 5s};
        };
        REQUIRE(
            world.engine().start_transient(service("run-1", ServiceType::oneshot), world.now()).has_value());
        world.run_for(2s);
        CHECK(world.state("run-1") == State::done);
        CHECK(world.removed.empty());
        world.run_for(4s);
        REQUIRE(world.removed.size() == 1);
        CHECK(world.removed[0].exit == exit_with(0));
    }
    SECTION("one that cannot be executed") {
        world.behaviours["run-1"] = [](unsigned) {
            return Behaviour{.exec_error = "step execute: No such file"};
        };
        REQUIRE(
            world.engine().start_transient(service("run-1", ServiceType::oneshot), world.now()).has_value());
        world.run_until_idle();
        REQUIRE(world.removed.size() == 1);
        CHECK(world.removed[0].reason == "exec: step execute: No such file");
    }
    SECTION("one that is stopped") {
        REQUIRE(
            world.engine().start_transient(service("run-1", ServiceType::oneshot), world.now()).has_value());
        world.run_for(1s);
        world.stop("run-1");
        world.run_until_idle();
        REQUIRE(world.removed.size() == 1);
    }
    CHECK(world.engine().find("run-1") == nullptr);
    world.start("web");
    world.run_for(1s);
    CHECK(world.state("web") == State::active);
}

TEST_CASE("what happened while nobody looked is taken down first and acted on when all is known") {
    Declaration db = with_restart(RestartPolicy::on_failure);
    db.name = "db";
    Declaration web = service("web");
    web.depends.requires_ = {"db"};
    World world({db, web});
    world.behaviours["db"] = [](unsigned life) {
        return life == 1 ? Behaviour{.lives = 10s, .exit = killed_by(SIGKILL)} : Behaviour{};
    };
    world.start("default");
    world.run_for(9s);
    world.take_log();
    world.replace_engine(World::Crash::between_actions, 2s);
    CHECK(world.log == Log{"db: active -> stopping", "db: stopping -> backoff"});
    CHECK(world.state("web") == State::active);
    world.run_for(1s);
    CHECK(world.state("db") == State::active);
    CHECK(world.engine().find("db")->restarts == 1);
    CHECK(std::ranges::count(world.log, "web: TERM") == 0);
}

TEST_CASE("the last state of a unit that is removed is among the changed ones") {
    Engine engine(UnitGraph::build({}).graph);
    REQUIRE(engine.start_transient(service("run-1", ServiceType::oneshot), TimePoint(1s)).has_value());
    engine.process_started("run-1", {77, 1}, TimePoint(1s));
    engine.exec_succeeded("run-1", TimePoint(1s));
    (void)engine.take_changed();
    engine.group_empty("run-1", TimePoint(2s));
    engine.main_exited("run-1", {77, 1}, exit_with(7), TimePoint(2s));
    CHECK(engine.find("run-1") == nullptr);
    const auto changed = engine.take_changed();
    REQUIRE(std::ranges::count(changed, "run-1", &UnitState::name) == 1);
    CHECK(changed.front().exit == exit_with(7));
    CHECK(changed.front().state == State::failed);
}
