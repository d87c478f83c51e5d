// What a forest says of groups that flip, that can be released, and that are frozen.

#include <algorithm>
#include <catch2/catch.hpp>

#include "grouping/forest.h"
#include "grouping/release_queue.h"

using namespace gpcsup;
using namespace gpcsup::grouping;
using Words = std::vector<std::string>;
using Groups = std::vector<GroupId>;
using std::chrono::milliseconds;
using std::chrono::seconds;

namespace {

struct Fixture {
    Forest forest;
    HierarchyId tenant = *forest.create_hierarchy("tenant", Words{"numtasks"});
    GroupId root = forest.hierarchy(tenant)->root;
    GroupId acme = *forest.create_group(root, "acme");
    GroupId web = *forest.create_group(acme, "web");
    GroupId db = *forest.create_group(acme, "db");
    ReleaseQueue queue;

    Fixture() {
        forest.group(root)->release_agent = "/sbin/agent";
        for (const GroupId id : {acme, web, db}) {
            forest.group(id)->notify_on_release = true;
        }
        (void)forest.take_flipped();
        (void)forest.take_release_candidates();
    }
    MembershipId in(GroupId group) {
        Places places{};
        places[forest.group(group)->hierarchy.value] = group;
        return forest.intern(places);
    }
    void come_and_go(GroupId group) {
        const MembershipId member = in(group);
        forest.acquire(member);
        forest.release(member);
    }
    void feed() {
        for (const GroupId id : forest.take_release_candidates()) {
            (void)queue.candidate(forest, id);
        }
    }
};

bool contains(const Groups& list, GroupId id) {
    return std::find(list.begin(), list.end(), id) != list.end();
}

}  // namespace

TEST_CASE_METHOD(Fixture, "a group flips when its first process comes and when its last one goes") {
    const MembershipId member = in(web);
    forest.acquire(member);
    Groups flipped = forest.take_flipped();
    CHECK(contains(flipped, web));
    CHECK(contains(flipped, acme));
    CHECK(contains(flipped, root));
    CHECK_FALSE(contains(flipped, db));
    SECTION("and not in between") {
        forest.acquire(member);
        forest.release(member);
        CHECK(forest.take_flipped().empty());
    }
    SECTION("a sibling's process leaves what is above populated") {
        const MembershipId other = in(db);
        forest.acquire(other);
        (void)forest.take_flipped();
        forest.release(member);
        flipped = forest.take_flipped();
        CHECK(contains(flipped, web));
        CHECK_FALSE(contains(flipped, acme));
    }
    SECTION("there and back within one round is told once") {
        forest.release(member);
        forest.acquire(in(web));
        flipped = forest.take_flipped();
        CHECK(std::count(flipped.begin(), flipped.end(), web) == 1);
    }
}

TEST_CASE_METHOD(Fixture, "a group is releasable without processes, children and holders") {
    CHECK(forest.is_releasable(web));
    CHECK_FALSE(forest.is_releasable(acme));
    CHECK_FALSE(forest.is_releasable(root));
    const MembershipId member = in(web);
    forest.acquire(member);
    CHECK_FALSE(forest.is_releasable(web));
    forest.release(member);
    forest.hold(web, "numfiles", "a file");
    CHECK_FALSE(forest.is_releasable(web));
    (void)forest.take_release_candidates();
    forest.drop_hold(web, "numfiles");
    CHECK(forest.is_releasable(web));
    CHECK(contains(forest.take_release_candidates(), web));
    forest.group(web)->notify_on_release = false;
    CHECK_FALSE(forest.is_releasable(web));
}

TEST_CASE_METHOD(Fixture, "the agent is told once of each emptying") {
    come_and_go(web);
    feed();
    CHECK(queue.turn(forest, seconds(10)).told == Groups{web});
    queue.finished(web);
    CHECK(queue.turn(forest, seconds(20)).told.empty());
    come_and_go(web);
    come_and_go(web);
    feed();
    CHECK(queue.turn(forest, seconds(30)).told == Groups{web});
}

TEST_CASE_METHOD(Fixture, "a group with children waits for the last of them to be removed") {
    come_and_go(web);
    feed();
    CHECK(queue.turn(forest, seconds(10)).told == Groups{web});
    CHECK(queue.waiting() == 1);  // acme, which has children
    REQUIRE(forest.remove_group(web));
    feed();
    CHECK(queue.turn(forest, seconds(20)).told.empty());
    REQUIRE(forest.remove_group(db));
    feed();
    CHECK(queue.turn(forest, seconds(20)).told == Groups{acme});
    CHECK(queue.waiting() == 0);
}

TEST_CASE_METHOD(Fixture, "dropping the last holder checks release again") {
    forest.hold(web, "numfiles", "a file");
    come_and_go(web);
    feed();
    CHECK(queue.turn(forest, seconds(10)).told.empty());
    forest.drop_hold(web, "numfiles");
    feed();
    CHECK(queue.turn(forest, seconds(10)).told == Groups{web});
}

TEST_CASE_METHOD(Fixture, "who is populated again before its turn is dropped") {
    come_and_go(web);
    feed();
    const MembershipId member = in(web);
    forest.acquire(member);
    const auto turn = queue.turn(forest, seconds(10));
    CHECK(turn.told.empty());
    CHECK(contains(turn.dropped, web));
}

TEST_CASE_METHOD(Fixture, "without an agent nobody waits") {
    forest.group(root)->release_agent = "";
    come_and_go(web);
    feed();
    CHECK(queue.waiting() == 0);
}

TEST_CASE_METHOD(Fixture, "agents are started within limits, and each group that waits is named once") {
    Groups many;
    for (int i = 0; i < 30; ++i) {
        many.push_back(*forest.create_group(root, "g" + std::to_string(i)));
        forest.group(many.back())->notify_on_release = true;
        come_and_go(many.back());
    }
    feed();
    auto turn = queue.turn(forest, seconds(10));
    CHECK(turn.told.size() == 4);
    CHECK(turn.deferred.size() == 26);
    CHECK(queue.turn(forest, seconds(10)).deferred.empty());
    std::size_t told = 0;
    auto finish = [&] {
        for (const GroupId id : turn.told) {
            queue.finished(id);
        }
        told += turn.told.size();
    };
    finish();
    turn = queue.turn(forest, seconds(10));
    finish();
    turn = queue.turn(forest, seconds(10));
    finish();
    CHECK(told == 10);  // the window is full
    REQUIRE(turn.again);
    CHECK(*turn.again == seconds(11));
    CHECK(queue.turn(forest, milliseconds(10'999)).told.empty());
    turn = queue.turn(forest, seconds(11));
    CHECK(turn.told.size() == 4);
    CHECK(queue.waiting() == 16);
}

TEST_CASE_METHOD(Fixture, "one group has one agent at a time") {
    come_and_go(web);
    feed();
    CHECK(queue.turn(forest, seconds(10)).told == Groups{web});
    come_and_go(web);
    feed();
    CHECK(queue.turn(forest, seconds(10)).told.empty());
    queue.finished(web);
    CHECK(queue.turn(forest, seconds(10)).told == Groups{web});
}

TEST_CASE_METHOD(Fixture, "what is below a frozen group is frozen, until nothing above is") {
    forest.set_frozen(acme, Freezing::frozen);
    CHECK(forest.group(web)->frozen_effective);
    CHECK_FALSE(forest.group(root)->frozen_effective);
    CHECK(forest.frozen_by(web) == acme);
    forest.set_frozen(web, Freezing::frozen);
    forest.set_frozen(web, Freezing::thawed);
    CHECK(forest.group(web)->frozen_effective);  // by acme
    CHECK(forest.group(*forest.create_group(web, "new"))->frozen_effective);
    forest.set_frozen(web, Freezing::frozen);
    forest.set_frozen(acme, Freezing::thawed);
    CHECK_FALSE(forest.group(acme)->frozen_effective);
    CHECK_FALSE(forest.group(db)->frozen_effective);
    CHECK(forest.group(web)->frozen_effective);
    CHECK(forest.frozen_by(db) == std::nullopt);
}

TEST_CASE_METHOD(Fixture, "an agent that takes too long is named once, and makes room when it has ended") {
    ReleaseQueue few({.at_once = 1, .in_window = 10, .window = seconds(1), .agent_time = seconds(30)});
    for (const GroupId id : {web, db}) {
        come_and_go(id);
        (void)few.candidate(forest, id);
    }
    auto turn = few.turn(forest, seconds(10));
    CHECK(turn.told == Groups{web});
    CHECK(turn.overdue.empty());
    CHECK(turn.again == seconds(40));
    CHECK(few.turn(forest, milliseconds(39'999)).overdue.empty());
    turn = few.turn(forest, seconds(40));
    CHECK(turn.overdue == Groups{web});
    CHECK(turn.told.empty());
    CHECK_FALSE(turn.again);
    CHECK(few.turn(forest, seconds(50)).overdue.empty());
    few.finished(web);
    CHECK(few.turn(forest, seconds(50)).told == Groups{db});
    SECTION("a successor knows until when") {
        ReleaseQueue next;
        next.running(db, seconds(80));
        CHECK(next.turn(forest, seconds(79)).again == seconds(80));
        CHECK(next.turn(forest, seconds(80)).overdue == Groups{db});
    }
}
