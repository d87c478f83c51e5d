// Group kill, task counts and exit records in the fake machine.

#include <catch2/catch.hpp>
#include <csignal>

#include "processes/telling_tracker.h"
#include "processes/world.h"

using namespace gpcsup;
using namespace gpcsup::tests;
using processes::GroupKill;
using processes::TaskCount;

TEST_CASE("a group is frozen, then killed, and nobody else is") {
    World world;
    const pid_t web = world.service("a");
    const pid_t other = world.service("b");
    const pid_t child = world.fork(web);
    world.tracker->drain().value();
    TellingTracker tracker(world);
    tracker.bombs = {child};
    tracker.rounds_ = 6;
    GroupKill kill({*world.table, world.machine, world.machine, world.machine, tracker}, world.group("a"),
                   std::chrono::seconds(5));
    GroupKill::Status status;
    for (int step = 0; step < 20 && !status.over(); ++step) {
        status = kill.step();
    }
    CHECK(status.phase == GroupKill::Phase::done);
    CHECK(kill.survivors().empty());
    CHECK_FALSE(world.machine.exists(web));
    CHECK(world.machine.at(other).received.empty());
    CHECK(world.table->size() == 1);
}

TEST_CASE("those that cannot be killed are named when time is up") {
    World world;
    const pid_t web = world.service("a");
    const pid_t forbidden = world.fork(web);
    world.tracker->drain().value();
    world.machine.at(forbidden).forbidden = true;
    world.machine.at(web).immune = true;
    world.machine.at(web).state = 'D';
    TellingTracker tracker(world);
    GroupKill kill({*world.table, world.machine, world.machine, world.machine, tracker}, world.group("a"),
                   std::chrono::seconds(5));
    auto status = kill.step();
    CHECK(status.phase == GroupKill::Phase::killing);
    CHECK(status.again > std::chrono::nanoseconds(0));
    world.machine.advance(std::chrono::seconds(6));
    status = kill.step();
    CHECK(status.phase == GroupKill::Phase::given_up);
    REQUIRE(kill.survivors().size() == 2);
    for (const auto& survivor : kill.survivors()) {
        CHECK(survivor.reason.find(survivor.process.pid == web ? "uninterruptible" : "cannot be signalled") !=
              std::string::npos);
    }
}

TEST_CASE("tasks are threads, and zombies until they are reaped") {
    World world;
    const pid_t web = world.service("a");
    const pid_t child = world.fork(web);
    world.start_thread(web);
    world.start_thread(web);
    world.tracker->drain().value();
    processes::TaskCounter counter(*world.table, world.machine, *world.lineage);
    const auto group = world.group("a");
    const auto exact = processes::TrackingQuality::exact;
    CHECK(counter.exact(group, exact) == TaskCount{.tasks = 4, .processes = 2});
    CHECK(counter.known(group) == TaskCount{.tasks = 4, .processes = 2});
    world.exit(child);
    world.tracker->drain().value();
    CHECK(counter.exact(group, exact) == TaskCount{.tasks = 4, .processes = 2});
    CHECK(counter.known(group) == TaskCount{.tasks = 4, .processes = 2});
    world.wait(child);
    CHECK(counter.exact(group, exact) == TaskCount{.tasks = 3, .processes = 1});
    // Where tracking is sampled, children nobody has told of are found by looking.
    const pid_t unheard = world.machine.fork(web);
    CHECK(counter.exact(group, processes::TrackingQuality::sampled) == TaskCount{.tasks = 4, .processes = 2});
    CHECK(world.place(unheard) == "a");
    CHECK(counter.exact(world.group("b"), exact) == TaskCount{});
}

TEST_CASE("an exit record is folded once, and told again after a crash") {
    World world;
    const pid_t web = world.service("a");
    world.run(web, milliseconds(10));
    world.exit(web);
    world.settle();
    CHECK(world.reaped.size() == 1);
    CHECK(world.total() == 10'000'000);
    // Killed between the ledger's transaction and the step of the tail.
    world.ring->tail = 0;
    world.successor();
    CHECK(world.reaped.size() == 2);
    CHECK(world.reaped.back().pid == web);
    CHECK(world.total() == 10'000'000);
    CHECK(world.ring->tail == world.ring->head);
}

TEST_CASE("a full ring keeps zombies, and nothing is lost") {
    World world;
    std::uint64_t expected = 0;
    for (int index = 0; index < 1500; ++index) {
        const pid_t pid = world.service("b");
        world.run(pid, milliseconds(1));
        expected += 1'000'000;
        world.exit(pid);
    }
    CHECK(world.ring->head - world.ring->tail == wire::exit_ring_capacity);
    world.settle();
    CHECK(world.reaped.size() == 1500);
    CHECK(world.usage("b").usage_ns == expected);
    CHECK(world.table->size() + world.table->dead() == 0);
}
