// Units together: each row of INTERFACE's table of edges, order of start and stop, conflicts, boot, shutdown,
// apply.

#include <algorithm>
#include <catch2/catch.hpp>
#include <csignal>

#include "units/names.h"
#include "units/world.h"

using namespace gpcsup::units;
using namespace gpcsup::units::test;

namespace {

using Names = std::vector<std::string>;

Declaration depending(std::string name, EdgeKind kind, Names on) {
    Declaration unit = service(std::move(name));
    unit.enabled = false;
    switch (kind) {
        case EdgeKind::requires_:
            unit.depends.requires_ = std::move(on);
            break;
        case EdgeKind::wants:
            unit.depends.wants = std::move(on);
            break;
        case EdgeKind::binds:
            unit.depends.binds = std::move(on);
            break;
        case EdgeKind::after:
            unit.depends.after = std::move(on);
            break;
        case EdgeKind::before:
            unit.depends.before = std::move(on);
            break;
    }
    return unit;
}

Declaration alone(std::string name, RestartPolicy restart = RestartPolicy::no) {
    Declaration unit = service(std::move(name), ServiceType::notify);
    unit.enabled = false;
    unit.restart = restart;
    return unit;
}

const auto slow_start = [](unsigned) { return Behaviour{.ready = 5s}; };

}  // namespace

TEST_CASE("the table of edges: pulls in, orders, it fails to start") {
    struct Row {
        EdgeKind kind;
        bool pulls;
        bool orders;
        State after_failure;  // of the dependant, when the other fails to start
    };
    const Row rows[] = {
        {EdgeKind::requires_, true, true, State::failed},
        {EdgeKind::wants, true, true, State::active},
        {EdgeKind::binds, true, true, State::failed},
        {EdgeKind::after, false, true, State::active},
    };
    for (const Row& row : rows) {
        CAPTURE(name_of(row.kind));
        {
            World world({alone("db"), depending("web", row.kind, {"db"})});
            world.behaviours["db"] = slow_start;
            world.start("web");
            world.run_for(1s);
            CHECK((world.state("db") == State::starting) == row.pulls);
            CHECK(world.state("web") == (row.pulls ? State::starting : State::active));
        }
        {
            World world({alone("db"), depending("web", row.kind, {"db"})});
            world.behaviours["db"] = slow_start;
            world.start("db");
            world.start("web");
            world.run_for(1s);
            CHECK((world.state("web") == State::starting) == row.orders);
            CHECK(world.reason("web") == "waiting: for db");
            CHECK(world.engine().waiting_for("web", world.now()) == "web waits for db, which is starting");
            world.run_for(5s);
            CHECK(world.order == Names{"+db", "+web"});
        }
        World world({alone("db"), depending("web", row.kind, {"db"})});
        world.behaviours["db"] = [](unsigned) { return Behaviour{.lives = 1s, .exit = exit_with(3)}; };
        world.start("db");
        world.start("web");
        world.run_until_idle();
        CHECK(world.state("db") == State::failed);
        CHECK(world.state("web") == row.after_failure);
        CHECK(world.reason("web") == (row.after_failure == State::failed ? "dependency: db failed" : ""));
        CHECK(world.engine().progress("web") ==
              (row.after_failure == State::failed ? Progress::down : Progress::up));
    }
}

TEST_CASE("the table of edges: it is stopped, dies for good, restarts, returns") {
    struct Row {
        EdgeKind kind;
        bool stops_with_it;
        bool stops_at_its_restart;
    };
    const Row row = GENERATE(values<Row>({
        {EdgeKind::requires_, true, false},
        {EdgeKind::wants, false, false},
        {EdgeKind::binds, true, true},
        {EdgeKind::after, false, false},
    }));
    CAPTURE(name_of(row.kind));
    World world({alone("db", RestartPolicy::on_failure), depending("web", row.kind, {"db"})});
    world.behaviours["db"] = [](unsigned) { return Behaviour{.ready = 1s, .obeys = 1s}; };
    world.behaviours["web"] = [](unsigned) { return Behaviour{.obeys = 1s}; };
    world.start("db");
    world.start("web");
    world.run_for(2s);
    world.order.clear();
    const State stopped = row.stops_with_it ? State::inactive : State::active;

    SECTION("it is stopped: I stop first") {
        world.stop("db");
        world.run_for(500ms);
        CHECK(world.has_processes("db"));
        CHECK(world.state("web") == (row.stops_with_it ? State::stopping : State::active));
        world.run_for(5s);
        CHECK(world.state("web") == stopped);
        CHECK(world.order == (row.stops_with_it ? Names{"-web", "-db"} : Names{"-db"}));
        if (row.stops_with_it) {
            CHECK(world.reason("web") == "dependency: db was stopped");
            CHECK(world.engine().why("web") == Names{"web", "db"});
        }
        world.order.clear();
        world.start("db");
        world.run_for(5s);
        CHECK(world.state("web") == State::active);
        CHECK(world.order == (row.stops_with_it ? Names{"+db", "+web"} : Names{"+db"}));
    }
    SECTION("it is stopped, I am stopped too: it returns without me") {
        world.stop("db");
        world.run_for(5s);
        world.stop("web");
        world.run_for(5s);
        world.start("db");
        world.run_for(5s);
        CHECK(world.state("web") == State::inactive);
    }
    SECTION("it dies for good: I stop; it returns: I start again") {
        world.kill_main("db", exit_with(0));
        world.run_for(5s);
        CHECK(world.state("db") == State::inactive);
        CHECK(world.state("web") == stopped);
        if (row.stops_with_it) {
            CHECK(world.reason("web") == "dependency: db is not running");
        }
        world.start("db");
        world.run_for(5s);
        CHECK(world.state("web") == State::active);
    }
    SECTION("it restarts by itself") {
        world.kill_main("db", exit_with(3));
        world.run_for(10ms);
        CHECK(world.state("db") == State::backoff);
        CHECK(world.state("web") == (row.stops_at_its_restart ? State::stopping : State::active));
        world.run_for(5s);
        CHECK(world.state("db") == State::active);
        CHECK(world.state("web") == State::active);
        CHECK(world.order ==
              (row.stops_at_its_restart ? Names{"-db", "-web", "+db", "+web"} : Names{"-db", "+db"}));
    }
    SECTION("it is restarted by name") {
        world.restart("db");
        world.run_for(10s);
        CHECK(world.state("web") == State::active);
        CHECK(world.order == (row.stops_with_it ? Names{"-web", "-db", "+db", "+web"} : Names{"-db", "+db"}));
    }
}

TEST_CASE("a dependant that failed with its dependency starts when that is started by name") {
    World world({alone("db"), depending("mid", EdgeKind::requires_, {"db"}),
                 depending("web", EdgeKind::requires_, {"mid"})});
    world.behaviours["db"] = [](unsigned life) {
        return life == 1 ? Behaviour{.lives = 1s, .exit = exit_with(3)} : Behaviour{.ready = 1s};
    };
    world.start("web");
    world.run_until_idle();
    CHECK(world.reason("web") == "dependency: mid failed");
    CHECK(world.engine().why("web") == Names{"web", "mid", "db"});
    CHECK(world.engine().why("nothing").empty());
    CHECK(world.reason("db") == "exit 3");
    world.order.clear();
    world.start("db");
    world.run_for(5s);
    CHECK(world.order == Names{"+db", "+mid", "+web"});
}

TEST_CASE("what is pulled in goes when nothing wants it any more") {
    World world({alone("db"), depending("web", EdgeKind::requires_, {"db"}),
                 depending("api", EdgeKind::wants, {"db"})});
    world.behaviours["db"] = [](unsigned) { return Behaviour{.ready = 0s}; };
    world.start("web");
    world.start("api");
    world.run_for(1s);
    world.stop("web");
    world.run_for(1s);
    CHECK(world.state("db") == State::active);
    world.stop("api");
    world.run_for(1s);
    CHECK(world.state("db") == State::inactive);
    CHECK(world.reason("db") == "stopped: nothing wants it any more");
    world.start("web");
    world.start("db");
    world.run_for(1s);
    world.stop("web");
    world.run_for(1s);
    CHECK(world.state("db") == State::active);  // wished by name as well
}

TEST_CASE("conflicts: starting one stops the other, which stays down") {
    Declaration old = alone("old", RestartPolicy::always);
    Declaration fresh = alone("fresh");
    fresh.depends.conflicts = {"old"};
    World world({old, fresh});
    const auto behaviour = [](unsigned) { return Behaviour{.ready = 0s, .obeys = 2s}; };
    world.behaviours["old"] = behaviour;
    world.behaviours["fresh"] = behaviour;
    world.start("old");
    world.run_for(1s);
    world.start("fresh");
    world.run_for(1s);
    CHECK(world.state("old") == State::stopping);
    CHECK(world.state("fresh") == State::starting);
    CHECK(world.reason("old") == "conflict: fresh was started");
    world.run_for(5s);
    CHECK(world.order == Names{"+old", "-old", "+fresh"});
    CHECK(world.state("fresh") == State::active);
    world.kill_main("fresh", exit_with(1));
    world.run_for(5s);
    CHECK(world.state("old") == State::inactive);
    world.order.clear();
    world.start("fresh");
    world.start("old");
    world.run_until_idle();
    CHECK(world.state("old") == State::active);
    CHECK(world.state("fresh") == State::inactive);

    SECTION("a rival that waits for its restart is stopped too") {
        world.kill_main("old", exit_with(1));
        CHECK(world.state("old") == State::backoff);
        world.start("fresh");
        world.run_until_idle();
        CHECK(world.state("old") == State::inactive);
        CHECK(world.state("fresh") == State::active);
    }
}

TEST_CASE("two rivals that boot together: one wins, and the machine becomes quiet") {
    Declaration a = service("a");
    Declaration b = service("b");
    a.restart = b.restart = RestartPolicy::always;
    a.depends.conflicts = {"b"};
    World world({a, b});
    world.start("default");
    world.run_until_idle();
    CHECK((world.state("a") == State::active) != (world.state("b") == State::active));
}

TEST_CASE("a chain of four, one of them slow, starts in order and stops in reverse") {
    std::vector<Declaration> units;
    const Names names = {"disk", "db", "app", "web"};
    for (std::size_t i = 0; i < names.size(); ++i) {
        Declaration unit = service(names[i], ServiceType::notify);
        if (i > 0) {
            unit.depends.requires_ = {names[i - 1]};
        }
        units.push_back(unit);
    }
    World world(units);
    for (const std::string& name : names) {
        world.behaviours[name] = [name](unsigned) {
            return Behaviour{.ready = 1s, .obeys = name == "app" ? 7s : 10ms};
        };
    }
    world.start("default");
    world.run_until_idle();
    CHECK(world.order == Names{"+disk", "+db", "+app", "+web", "+default"});
    world.order.clear();
    world.engine().stop_all(world.now());
    world.run_for(1s);
    CHECK_FALSE(world.all_quiet);
    CHECK(world.engine().waiting_for("db", world.now()) == "db waits for app to stop first");
    CHECK_THAT(world.engine().waiting_for("app", world.now()), Catch::Contains("to end; SIGKILL in 9 s"));
    world.run_for(7s);
    CHECK(world.order == Names{"-default", "-web", "-app", "-db", "-disk"});
    CHECK(world.all_quiet);
    CHECK(world.engine().quiet());
}

TEST_CASE("a shutdown honours mere order too, and interrupts what still starts") {
    Declaration log = service("log");
    Declaration web = service("web");
    web.depends.after = {"log"};
    Declaration late = service("late", ServiceType::notify);
    late.depends.wants = {"log"};
    Declaration waiting = service("waiting");
    waiting.depends.after = {"late"};
    World world({log, web, late, waiting});
    world.behaviours["web"] = [](unsigned) { return Behaviour{.obeys = 3s}; };
    world.start("default");
    world.run_for(1s);
    CHECK(world.state("waiting") == State::starting);
    world.order.clear();
    world.engine().stop_all(world.now());
    world.run_until_idle();
    CHECK(world.order.back() == "-log");
    CHECK(world.all_quiet);
    CHECK(world.state("waiting") == State::inactive);
    CHECK_FALSE(world.has_processes("web"));
}

TEST_CASE("a diamond starts its base once and stops it last") {
    const auto on = [](std::string name, Names needs) {
        Declaration unit = service(std::move(name), ServiceType::notify);
        unit.depends.requires_ = std::move(needs);
        return unit;
    };
    World world({on("base", {}), on("left", {"base"}), on("right", {"base"}), on("top", {"left", "right"})});
    for (const char* name : {"base", "left", "right", "top"}) {
        world.behaviours[name] = [](unsigned) { return Behaviour{.ready = 1s, .obeys = 1s}; };
    }
    world.start("top");
    world.run_until_idle();
    CHECK(std::ranges::count(world.log, "base: start") == 1);
    CHECK(world.order.front() == "+base");
    CHECK(world.order.back() == "+top");
    world.order.clear();
    world.stop("base");
    world.run_until_idle();
    CHECK(world.order.front() == "-top");
    CHECK(world.order.back() == "-base");
    world.order.clear();
    world.start("base");
    world.run_until_idle();
    CHECK(world.order.size() == 4);
    CHECK(world.order.back() == "+top");
}

TEST_CASE("a refused unit fails alone, with its reason, and so does who needs it") {
    Declaration web = service("web");
    web.depends.requires_ = {"nowhere"};
    Declaration api = service("api");
    api.depends.requires_ = {"web"};
    World world({web, api, service("plain")});
    world.start("default");
    world.run_until_idle();
    CHECK(world.state("web") == State::failed);
    CHECK_THAT(world.reason("web"), Catch::StartsWith("dependency: it requires \"nowhere\""));
    CHECK(world.state("api") == State::failed);
    CHECK(world.reason("api") == "dependency: web cannot be started");
    CHECK(world.state("plain") == State::active);
    CHECK(world.state("default") == State::active);
}

TEST_CASE("1,000 units start and stop in order") {
    constexpr int count = 1000;
    std::vector<Declaration> units;
    for (int i = 0; i < count; ++i) {
        Declaration unit =
            service("u" + std::to_string(i), i % 3 == 0 ? ServiceType::notify : ServiceType::simple);
        if (i >= 10) {
            unit.depends.requires_ = {"u" + std::to_string(i - 10)};
        }
        units.push_back(unit);
    }
    World world(units);
    for (const Declaration& unit : units) {
        world.behaviours[unit.name] = [](unsigned) { return Behaviour{.ready = 1ms}; };
    }
    world.start("default");
    world.run_until_idle();
    CHECK(world.order.size() == count + 1);
    const auto position = [&](const std::string& entry) {
        return std::ranges::find(world.order, entry) - world.order.begin();
    };
    bool in_order = true;
    for (int i = 10; i < count; ++i) {
        in_order = in_order && position("+u" + std::to_string(i)) > position("+u" + std::to_string(i - 10));
    }
    CHECK(in_order);
    world.order.clear();
    world.engine().stop_all(world.now());
    world.run_until_idle();
    for (int i = 10; i < count; ++i) {
        in_order = in_order && position("-u" + std::to_string(i)) < position("-u" + std::to_string(i - 10));
    }
    CHECK(in_order);
    CHECK(world.all_quiet);
}

TEST_CASE("apply adds, removes and changes units while the others run on") {
    Declaration db = service("db");
    Declaration web = service("web");
    web.depends.requires_ = {"db"};
    Declaration old = service("old");
    World world({db, web, old});
    world.behaviours["old"] = [](unsigned) { return Behaviour{.obeys = 2s}; };
    world.start("default");
    world.run_for(1s);
    world.take_log();

    Declaration changed = web;
    changed.command.push_back("-v");
    Declaration relaxed = db;
    relaxed.restart = RestartPolicy::always;
    const std::vector<Declaration> next = {relaxed, changed, service("extra")};
    const auto plan = world.plan(next);
    REQUIRE(plan.size() == 4);
    CHECK((plan[0].unit == "db" && plan[0].change == Change::update &&
           plan[0].keys == Names{"service.restart"}));
    CHECK((plan[1].unit == "extra" && plan[1].change == Change::add));
    CHECK((plan[2].unit == "web" && plan[2].change == Change::restart &&
           plan[2].keys == Names{"service.command"}));
    CHECK((plan[3].unit == "old" && plan[3].change == Change::remove));

    world.apply(next);
    CHECK(world.state("extra") == State::starting);
    CHECK(world.state("old") == State::stopping);
    CHECK(world.reason("old") == "stopped: its file is gone");
    world.run_for(5s);
    CHECK(world.state("extra") == State::active);
    CHECK(world.engine().find("old") == nullptr);
    CHECK(world.state("db") == State::active);
    CHECK(world.state("web") == State::active);
    CHECK(std::ranges::count(world.log, "web: TERM") == 0);
    CHECK(world.engine().declaration("web")->command.back() == "-v");
    CHECK(world.plan(next).empty());
    world.stop("db");
    world.run_for(1s);
    CHECK(world.state("web") == State::inactive);

    SECTION("a unit that is disabled goes on, and one that is enabled comes") {
        std::vector<Declaration> changed_wishes = next;
        changed_wishes[2].enabled = false;
        changed_wishes.push_back(service("idle"));
        changed_wishes[3].enabled = false;
        world.apply(changed_wishes);
        world.run_for(5s);
        CHECK(world.state("extra") == State::active);
        CHECK(world.state("idle") == State::inactive);
        changed_wishes[3].enabled = true;
        world.apply(changed_wishes);
        world.run_for(5s);
        CHECK(world.state("idle") == State::active);
        CHECK(world.state("db") == State::inactive);  // still held
    }
    SECTION("a running unit that is given a new need stays up while that starts") {
        std::vector<Declaration> needing = next;
        needing[2].depends.requires_ = {"fresh"};
        needing.push_back(service("fresh", ServiceType::notify));
        world.behaviours["fresh"] = [](unsigned) { return Behaviour{.ready = 1s}; };
        world.take_log();
        world.apply(needing);
        world.run_for(5s);
        CHECK(world.state("extra") == State::active);
        CHECK(std::ranges::count(world.log, "extra: TERM") == 0);
    }
}

TEST_CASE("what runs goes on when the files say that nothing wants it any more") {
    Declaration web = depending("web", EdgeKind::requires_, {"db"});
    web.enabled = true;
    World world({web, alone("db"), target("rescue")});
    world.behaviours["db"] = [](unsigned) { return Behaviour{.ready = 1s}; };
    world.start("default");
    world.run_for(5s);
    REQUIRE(world.state("web") == State::active);
    REQUIRE(world.state("db") == State::active);
    world.take_log();

    SECTION("disabled") {
        web.enabled = false;
    }
    SECTION("masked") {
        web.masked = true;
    }
    SECTION("wanted by another") {
        web.wanted_by = {"rescue"};
    }
    world.apply({web, alone("db"), target("rescue")});
    world.run_for(5s);
    world.replace_engine(World::Crash::between_actions);
    world.run_for(5s);
    CHECK(world.log.empty());
    CHECK(world.state("web") == State::active);
    CHECK(world.state("db") == State::active);

    world.stop("web");  // and only web was kept: what it had pulled in goes with it
    world.run_for(5s);
    CHECK(world.state("web") == State::inactive);
    CHECK(world.state("db") == State::inactive);
}

TEST_CASE("a dead dependency of a failed start is asked for again by starting the dependant") {
    World world({alone("db"), depending("web", EdgeKind::requires_, {"db"})});
    world.behaviours["db"] = [](unsigned life) {
        return life == 1 ? Behaviour{.lives = 1ms, .exit = exit_with(1)} : Behaviour{.ready = 1ms};
    };
    world.start("web");
    world.run_until_idle();
    CHECK(world.state("web") == State::failed);
    world.start("web");
    CHECK(world.engine().progress("web") == Progress::under_way);
    world.run_until_idle();
    CHECK(world.state("web") == State::active);
    CHECK(world.engine().progress("web") == Progress::up);
    SECTION("also after it was stopped by name") {
        world.stop("db");
        world.run_until_idle();
        CHECK(world.state("web") == State::inactive);
        world.start("web");
        world.run_until_idle();
        CHECK(world.order.back() == "+web");
        CHECK(world.state("db") == State::active);
    }
}

TEST_CASE("a unit that cannot be started says why, before anybody tries") {
    Declaration idle = alone("idle");
    idle.masked = true;
    World world({idle, alone("db")});
    CHECK(world.reason("idle") == "masked: it says masked = true");
    CHECK(world.reason("db").empty());
    Engine engine(UnitGraph::build({}, {{"bad", "config: bad.toml:1:1: no"}}).graph);
    CHECK(engine.reason("bad") == "config: bad.toml:1:1: no");
}
