// Freezing and thawing in the fake machine.

#include <catch2/catch.hpp>
#include <csignal>

#include "processes/group_freeze.h"
#include "processes/telling_tracker.h"

using namespace gpcsup;
using namespace gpcsup::tests;
using processes::GroupFreeze;

namespace {

struct Fixture {
    World world;
    TellingTracker tracker{world};

    GroupFreeze freeze(std::string_view group) {
        return {{*world.table, world.machine, world.machine, world.machine, tracker},
                world.group(group),
                std::chrono::seconds(5)};
    }
    processes::Process& row(pid_t pid) { return *world.table->find(pid); }
    void thaw(std::string_view group) {
        world.table->for_each_member_below(world.group(group), [&](processes::Process& process) {
            processes::thaw_process(process, world.machine);
        });
    }
    char state(pid_t pid) { return world.machine.at(pid).state; }
};

}  // namespace

TEST_CASE_METHOD(Fixture, "a fork bomb is stopped to the last child, and nobody else is") {
    const pid_t web = world.service("a");
    const pid_t other = world.service("b");
    world.tracker->drain().value();
    tracker.bombs = {web};
    tracker.rounds_ = 6;
    auto freezing = freeze("a");
    auto status = freezing.step();
    CHECK(status.phase == GroupFreeze::Phase::done);
    CHECK(tracker.bombs.size() > 1);
    CHECK(freezing.stopped() == tracker.bombs.size());
    for (const pid_t pid : tracker.bombs) {
        CHECK(state(pid) == 'T');
        CHECK(row(pid).has(processes::process_frozen));
    }
    CHECK(world.machine.at(other).received.empty());
    thaw("a");
    for (const pid_t pid : tracker.bombs) {
        CHECK(state(pid) == 'R');
        CHECK_FALSE(row(pid).has(processes::process_frozen));
    }
}

TEST_CASE_METHOD(Fixture, "who stood still before stays so when the group is thawed") {
    const pid_t web = world.service("a");
    const pid_t stopped = world.fork(web);
    world.tracker->drain().value();
    world.machine.at(stopped).state = 'T';
    auto freezing = freeze("a");
    CHECK(freezing.step().phase == GroupFreeze::Phase::done);
    SECTION("thawed by the same") {}
    SECTION("frozen again by a successor, which finds everybody stopped") {
        world.successor();
        auto again = freeze("a");
        CHECK(again.step().phase == GroupFreeze::Phase::done);
    }
    thaw("a");
    CHECK(state(web) == 'R');
    CHECK(state(stopped) == 'T');
    CHECK(world.machine.at(stopped).received.count(SIGCONT) == 0);
}

TEST_CASE_METHOD(Fixture, "who cannot be stopped is named when time is up") {
    const pid_t web = world.service("a");
    const pid_t forbidden = world.fork(web);
    const pid_t busy = world.fork(web);
    world.tracker->drain().value();
    world.machine.at(forbidden).forbidden = true;
    world.machine.at(busy).immune = true;
    world.machine.at(busy).state = 'D';
    auto freezing = freeze("a");
    CHECK_FALSE(freezing.step().over());
    world.machine.advance(std::chrono::seconds(6));
    CHECK(freezing.step().phase == GroupFreeze::Phase::given_up);
    CHECK(freezing.stopped() == 1);
    REQUIRE(freezing.survivors().size() == 2);
    for (const auto& survivor : freezing.survivors()) {
        CHECK(
            survivor.reason.find(survivor.process.pid == busy ? "uninterruptible" : "cannot be signalled") !=
            std::string::npos);
    }
    CHECK_FALSE(row(forbidden).has(processes::process_frozen));
}

TEST_CASE_METHOD(Fixture, "a process whose leader has ended stands still when its other threads do") {
    const pid_t web = world.service("a");
    world.start_thread(web);
    world.start_thread(web);
    world.tracker->drain().value();
    auto& task = world.machine.at(web);
    task.state = 'Z';
    task.others = {{50'001, 'S'}, {50'002, 'Z'}};
    SECTION("it is stopped, and goes on") {
        auto freezing = freeze("a");
        CHECK(freezing.step().phase == GroupFreeze::Phase::done);
        CHECK(freezing.stopped() == 1);
        CHECK(world.machine.at(web).others.at(50'001) == 'T');
        thaw("a");
        CHECK(world.machine.at(web).others.at(50'001) == 'R');
    }
    SECTION("one that cannot be is named") {
        task.immune = true;
        auto freezing = freeze("a");
        CHECK_FALSE(freezing.step().over());
        world.machine.advance(std::chrono::seconds(6));
        CHECK(freezing.step().phase == GroupFreeze::Phase::given_up);
        REQUIRE(freezing.survivors().size() == 1);
        CHECK(freezing.survivors().front().reason == "has been stopped and is still in state S");
    }
    SECTION("one that stood still before stays so") {
        task.others[50'001] = 'T';
        auto freezing = freeze("a");
        CHECK(freezing.step().phase == GroupFreeze::Phase::done);
        thaw("a");
        CHECK(world.machine.at(web).others.at(50'001) == 'T');
    }
}

TEST_CASE_METHOD(Fixture, "a stopped leader does not speak for a thread that is still in the kernel") {
    const pid_t web = world.service("a");
    world.start_thread(web);
    world.tracker->drain().value();
    auto& task = world.machine.at(web);
    task.immune = true;
    task.state = 'T';
    task.others = {{50'001, 'D'}};
    auto freezing = freeze("a");
    CHECK_FALSE(freezing.step().over());
    world.machine.at(web).others[50'001] = 'T';
    CHECK(freezing.step().phase == GroupFreeze::Phase::done);
}

TEST_CASE_METHOD(Fixture, "a parent inside vfork stands as still as its child") {
    const pid_t web = world.service("a");
    world.fork(web);
    world.tracker->drain().value();
    world.machine.at(web).immune = true;
    world.machine.at(web).state = 'D';
    CHECK(freeze("a").step().phase == GroupFreeze::Phase::done);
}

TEST_CASE_METHOD(Fixture, "a unit that is being stopped is spared") {
    const pid_t web = world.service("a");
    world.tracker->drain().value();
    row(web).flags |= processes::process_unfreezable;
    CHECK(freeze("a").step().phase == GroupFreeze::Phase::done);
    CHECK(state(web) == 'R');
}
