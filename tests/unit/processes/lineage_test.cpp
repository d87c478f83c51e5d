#include <algorithm>
#include <catch2/catch.hpp>

#include "processes/world.h"

using namespace gpcsup;
using namespace gpcsup::tests;
using processes::Attribution;
using processes::Event;
using processes::EventKind;

TEST_CASE("a child starts in its parent's groups, and a group says when it is empty") {
    World world;
    const pid_t web = world.service("a");
    const pid_t worker = world.fork(web);
    world.tracker->drain().value();
    CHECK(world.place(web) == "a");
    CHECK(world.place(worker) == "a");
    CHECK(world.table->size() == 2);
    CHECK(world.table->find(web)->has(processes::process_service));

    world.exit(web);
    world.settle();
    CHECK(world.place(worker) == "a");  // an orphan that is known stays where it is
    CHECK(world.table->find(worker)->parent == World::init);
    CHECK(world.observer.emptied.empty());
    world.exit(worker);
    world.settle();
    CHECK(world.table->size() == 0);
    CHECK(world.table->dead() == 0);
    CHECK(std::count(world.observer.emptied.begin(), world.observer.emptied.end(), world.group("a")) == 1);
    CHECK(world.observer.exits == std::vector<pid_t>{web, worker});
    CHECK(world.reaped.size() == 2);
}

TEST_CASE("processes of other people cost nothing and change nothing") {
    World world;
    world.lineage->handle({.kind = EventKind::fork, .process = 9001, .thread = 9001, .parent = 9000});
    world.lineage->handle({.kind = EventKind::thread_exit, .process = 9001, .thread = 9001});
    CHECK(world.table->size() == 0);
    CHECK(world.observer.forks.empty());
}

TEST_CASE("a process is dead when its last thread is") {
    World world;
    const pid_t web = world.service("a");
    world.tracker->drain().value();

    SECTION("its leader may end before it") {
        world.start_thread(web);
        world.end_thread(web, web);
        world.tracker->drain().value();
        CHECK(world.table->size() == 1);
        world.exit(web);
        world.settle();
        CHECK(world.table->size() == 0);
    }
    SECTION("exec by another thread leaves one, whose end the kernel tells under the leader's number") {
        world.start_thread(web);
        world.start_thread(web);
        world.end_thread(web, web);  // the kernel ends the leader for the exec
        world.machine.at(web).state = 'R';
        world.exec(web);
        world.tracker->drain().value();
        CHECK(world.table->find(web)->threads == 1);
        CHECK(world.observer.execs == std::vector<pid_t>{web});
        world.exit(web);
        world.settle();
        CHECK(world.table->size() == 0);
    }
    SECTION("a thread whose start was lost does not bury it") {
        world.start_thread(web);
        world.tracker->push({.kind = EventKind::thread_exit, .process = web, .thread = 1});
        world.machine.at(web).threads = 3;
        world.tracker->push({.kind = EventKind::thread_exit, .process = web, .thread = 2});
        world.tracker->drain().value();
        CHECK(world.table->size() == 1);
        CHECK(world.table->find(web)->threads == 3);
    }
    SECTION("after a comparison with /proc the number of threads is asked for, not counted") {
        world.start_thread(web);
        world.start_thread(web);
        world.tracker->lose();
        world.tracker->drain().value();
        CHECK(world.observer.losses == 1);
        CHECK(world.table->find(web)->threads == 3);
        // Two more starts that the comparison had already seen are told late.
        world.tracker->push({.kind = EventKind::thread_start, .process = web, .thread = 1});
        world.tracker->push({.kind = EventKind::thread_start, .process = web, .thread = 2});
        world.exit(web);
        world.settle();
        CHECK(world.table->size() == 0);
    }
}

TEST_CASE("threads that come and go are told of, and where nobody tells, that there are more") {
    World world;
    const pid_t web = world.service("a");
    world.tracker->drain().value();
    world.tracker->push({.kind = EventKind::thread_start, .process = web, .thread = 71});
    world.tracker->push({.kind = EventKind::thread_start, .process = 9000, .thread = 72});
    world.tracker->push({.kind = EventKind::thread_exit, .process = web, .thread = 71});
    world.tracker->push({.kind = EventKind::thread_exit, .process = 9000, .thread = 72});
    world.tracker->drain().value();
    CHECK(world.observer.thread_starts == std::vector<pid_t>{71});
    CHECK(world.observer.thread_exits == std::vector<pid_t>{71});
    world.lineage->handle({.kind = EventKind::thread_count, .process = web, .count = 3});
    world.lineage->handle({.kind = EventKind::thread_count, .process = web, .count = 2});
    CHECK(world.observer.thread_starts == std::vector<pid_t>{71, 0});
    const int before = world.observer.sweeps;
    world.lineage->handle({.kind = EventKind::swept});
    CHECK(world.observer.sweeps == before + 1);
}

TEST_CASE("an unexplained child of gpc-init is attributed") {
    World world;
    const pid_t web = world.service("a");
    (void)world.service("b");
    world.tracker->drain().value();
    const auto attributed_as = [&](pid_t pid) { return world.observer.attributed.at(pid); };

    SECTION("clone(CLONE_PARENT): by its session") {
        const pid_t pid = world.clone_parent(web);
        world.tracker->drain().value();
        CHECK(world.place(pid) == "a");
        CHECK(attributed_as(pid) == Attribution::session);
    }
    SECTION("by the marker in its environment") {
        const pid_t pid = world.clone_parent(web);
        world.machine.at(pid).session = world.machine.at(pid).group = pid;
        world.machine.at(pid).environment = std::string("A=1\0GPCSUP_ID=other\0", 20);
        world.origins.markers["other"] = world.places("b");
        world.tracker->drain().value();
        CHECK(world.place(pid) == "b");
        CHECK(attributed_as(pid) == Attribution::marker);
    }
    SECTION("by its process group") {
        const pid_t pid = world.clone_parent(web);
        world.machine.at(pid).session = 77;
        world.tracker->drain().value();
        CHECK(world.place(pid) == "a");
        CHECK(attributed_as(pid) == Attribution::process_group);
    }
    SECTION("else it is nobody's, until an exec says more") {
        const pid_t pid = world.clone_parent(web);
        world.machine.at(pid).session = world.machine.at(pid).group = pid;
        world.tracker->drain().value();
        CHECK(world.place(pid).empty());
        CHECK(attributed_as(pid) == Attribution::nobody);
        world.machine.at(pid).environment = std::string("GPCSUP_ID=other\0", 16);
        world.origins.markers["other"] = world.places("b");
        world.exec(pid);
        world.tracker->drain().value();
        CHECK(world.place(pid) == "b");
        CHECK(attributed_as(pid) == Attribution::marker);
    }
    SECTION("gpc-init's helpers are in its own session") {
        const pid_t pid = world.machine.fork(World::init);
        world.tracker->push({.kind = EventKind::fork, .process = pid, .thread = pid, .parent = World::init});
        world.tracker->drain().value();
        CHECK(attributed_as(pid) == Attribution::helper);
        const pid_t child = world.fork(pid);
        world.tracker->drain().value();
        CHECK(world.table->find(child)->has(processes::process_helper));
    }
    SECTION("what was taken for a helper until its exec is a service like any other") {
        const pid_t pid = world.machine.fork(World::init);
        world.tracker->push({.kind = EventKind::fork, .process = pid, .thread = pid, .parent = World::init});
        world.tracker->drain().value();
        world.machine.at(pid).environment = std::string("GPCSUP_ID=other\0", 16);
        world.origins.markers["other"] = world.places("b");
        world.exec(pid);
        world.tracker->drain().value();
        CHECK(world.place(pid) == "b");
        CHECK_FALSE(world.table->find(pid)->has(processes::process_helper));
    }
    SECTION("an orphan met before its parent's fork was told") {
        const pid_t parent = world.fork(web);
        const pid_t child = world.fork(parent);
        world.exit(parent);
        world.wait(parent);
        world.tracker->drain().value();
        CHECK(world.place(child) == "a");
        CHECK(world.table->find(child)->parent == World::init);
        CHECK(world.observer.attributed.empty());
    }
}

TEST_CASE("a number that is used again is another process") {
    World world;
    const pid_t web = world.service("a");
    const pid_t child = world.fork(web);
    world.tracker->drain().value();
    world.machine.exit(child);  // nothing of this is told
    world.machine.wait(child);
    const auto old_start = world.table->find(child)->start_time;
    const pid_t other = world.service("b");
    world.machine.fork_as(other, child);
    world.tracker->push({.kind = EventKind::fork, .process = child, .thread = child, .parent = other});
    world.tracker->drain().value();
    CHECK(world.place(child) == "b");
    CHECK(world.table->find(child)->start_time != old_start);
    CHECK(world.table->size() == 3);
}

TEST_CASE("a number that was given away before its fork was heard of tells nothing of its new owner") {
    World world;
    const pid_t web = world.service("a");
    world.tracker->drain().value();
    const pid_t stranger = world.machine.fork(World::init);
    const std::uint64_t start = world.machine.at(stranger).start_time;
    // A child of web had this number, ended, and only now is heard of.
    const Event fork{.kind = EventKind::fork,
                     .process = stranger,
                     .thread = stranger,
                     .parent = web,
                     .latest_start = start - 1};
    world.lineage->handle(fork);
    REQUIRE(world.table->find(stranger) != nullptr);
    CHECK(world.table->find(stranger)->start_time == 0);
    world.machine.run(stranger, milliseconds(500), milliseconds(0));
    world.lineage->handle({.kind = EventKind::thread_exit, .process = stranger, .thread = stranger});
    CHECK(world.usage("a").usage_ns == 0);
    CHECK((world.table->find(stranger) == nullptr ||
           world.table->find(stranger)->has(processes::process_dead)));
}

TEST_CASE("a service is recorded at once, and its fork event later changes nothing") {
    World world;
    const pid_t web = world.machine.fork(World::init);
    const auto born = world.lineage->born(web, world.in("c"));
    REQUIRE(born);
    CHECK(world.place(web) == "c");
    world.tracker->push({.kind = EventKind::fork, .process = web, .thread = web, .parent = World::init});
    world.tracker->drain().value();
    CHECK(world.observer.forks == std::vector<pid_t>{web});
    CHECK(world.lineage->born(web, world.in("c")).value() == *born);
    CHECK(world.lineage->born(7777, world.in("c")).error().code == ESRCH);
}

TEST_CASE("after a loss the table is what it would have been") {
    for (unsigned seed = 1; seed <= 30; ++seed) {
        CAPTURE(seed);
        World lossy;
        World heard;
        std::srand(seed);
        std::vector<int> script;
        for (int step = 0; step < 200; ++step) {
            script.push_back(std::rand());
        }
        const auto play = [&](World& world, bool loses) {
            std::vector<pid_t> live{world.service("a"), world.service("b"), world.service("c")};
            world.tracker->drain().value();
            for (const int roll : script) {
                const auto pick = static_cast<std::size_t>(roll / 8) % live.size();
                if (roll % 8 < 5) {
                    live.push_back(world.fork(live[pick]));
                } else if (live.size() > 3 && pick >= 3) {
                    const pid_t pid = live[pick];
                    const pid_t parent = world.machine.at(pid).parent;
                    live.erase(live.begin() + static_cast<std::ptrdiff_t>(pick));
                    world.exit(pid);
                    if (parent != World::init) {
                        world.wait(pid);
                    }
                }
                if (!loses && roll % 11 == 0) {
                    world.tracker->drain().value();
                }
            }
            if (loses) {
                world.tracker->lose();
            }
            world.settle();
        };
        play(lossy, true);
        play(heard, false);
        std::map<pid_t, pid_t> parents[2];
        World* worlds[] = {&lossy, &heard};
        for (int which = 0; which < 2; ++which) {
            worlds[which]->table->for_each([&](processes::Process& process) {
                if (!process.has(processes::process_dead)) {
                    parents[which][process.pid] = process.parent;
                }
            });
        }
        CHECK(parents[0] == parents[1]);
        CHECK(lossy.table->dead() == heard.table->dead());
    }
}

TEST_CASE("one process that no sweep has met is found with those above it") {
    World world;
    world.tracker->set_quality(processes::TrackingQuality::sampled);
    const pid_t web = world.service("a");
    world.settle();
    const pid_t child = world.machine.fork(web);
    const pid_t grandchild = world.machine.fork(child);
    const pid_t beside = world.machine.fork(web);
    processes::Sweep sweep(*world.table, world.machine);
    sweep.run_above(grandchild, *world.lineage);
    CHECK(world.place(child) == "a");
    CHECK(world.place(grandchild) == "a");
    CHECK(world.place(beside) == "?");
    CHECK(world.table->find(grandchild)->parent == child);
    SECTION("who is known stays as it is") {
        const auto forks = world.observer.forks.size();
        sweep.run_above(grandchild, *world.lineage);
        CHECK(world.observer.forks.size() == forks);
    }
    SECTION("nobody is made of who is not below gpc-init, or not there") {
        const pid_t stranger = world.machine.fork(web);
        world.machine.at(stranger).parent = 1;
        sweep.run_above(stranger, *world.lineage);
        sweep.run_above(31'999, *world.lineage);
        CHECK(world.place(stranger) == "?");
        CHECK(world.place(31'999) == "?");
    }
    SECTION("a number that is another's by now") {
        world.machine.exit(grandchild);
        (void)world.machine.wait(grandchild);
        (void)world.machine.fork_as(beside, grandchild);
        sweep.run_above(grandchild, *world.lineage);
        CHECK(world.table->find(grandchild)->parent == beside);
        CHECK(world.place(beside) == "a");
    }
}

TEST_CASE("a sweep alone tells the same story") {
    World world;
    world.tracker->set_quality(processes::TrackingQuality::sampled);
    const pid_t web = world.machine.fork(World::init);
    world.machine.at(web).session = web;
    world.origins.intents[web] = world.places("a");
    const pid_t child = world.machine.fork(web);
    const pid_t grandchild = world.machine.fork(child);
    REQUIRE(world.lineage->resync());
    CHECK(world.table->size() == 3);
    CHECK(world.place(grandchild) == "a");
    world.machine.at(web).threads = 4;
    world.machine.exit(child);
    REQUIRE(world.lineage->resync());
    CHECK(world.table->size() == 2);
    CHECK(world.table->dead() == 1);
    CHECK(world.table->find(web)->threads == 4);
    CHECK(world.table->find(grandchild)->parent == World::init);
    // A child that loses its parent between two sweeps is an orphan nobody has heard of: its session tells.
    const pid_t middle = world.machine.fork(web);
    const pid_t orphan = world.machine.fork(middle);
    world.machine.exit(middle);
    world.machine.wait(middle);
    REQUIRE(world.lineage->resync());
    CHECK(world.place(orphan) == "a");
    CHECK(world.observer.attributed.at(orphan) == Attribution::session);
}
