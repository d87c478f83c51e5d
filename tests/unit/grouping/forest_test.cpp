#include "grouping/forest.h"
#include "grouping/forest_paths.h"

#include <catch2/catch.hpp>
#include <cerrno>

using namespace gpcsup;
using gpcsup::tests::make_path;
using namespace gpcsup::grouping;
using Words = std::vector<std::string>;

namespace {

struct Fixture {
    Forest forest;
    HierarchyId tenant = *forest.create_hierarchy("tenant", Words{"numtasks", "numfiles"});
    GroupId root = forest.hierarchy(tenant)->root;
    GroupId acme = *forest.create_group(root, "acme");
    GroupId web = *forest.create_group(acme, "web");

    MembershipId in(GroupId group) {
        Places places{};
        places[forest.group(group)->hierarchy.value] = group;
        return forest.intern(places);
    }
};

}  // namespace

TEST_CASE("hierarchy unit is built in") {
    Forest forest;
    REQUIRE(forest.hierarchies().size() == 1);
    CHECK(forest.find_hierarchy("unit")->id == HierarchyId{0});
    CHECK(forest.full_path(forest.find_hierarchy("unit")->root) == "unit:/");
    CHECK(forest.remove_hierarchy(HierarchyId{0}).error().code == EBUSY);
}

TEST_CASE_METHOD(Fixture, "creating a hierarchy") {
    SECTION("the same name with the same set is the same hierarchy, in any order") {
        CHECK(*forest.create_hierarchy("tenant", Words{"numfiles", "numtasks"}) == tenant);
    }
    SECTION("the same name with another set is busy") {
        CHECK(forest.create_hierarchy("tenant", Words{"numtasks"}).error().code == EBUSY);
    }
    SECTION("a controller is in one hierarchy, and the error names it") {
        const auto clash = forest.create_hierarchy("other", Words{"numtasks"});
        CHECK(clash.error().code == EBUSY);
        CHECK(clash.error().message() ==
              "controller numtasks is bound to hierarchy tenant already; a controller can be in one "
              "hierarchy only");
    }
    SECTION("twice in one set") {
        CHECK(forest.create_hierarchy("other", Words{"cpuset", "cpuset"}).error().code == EINVAL);
    }
    SECTION("tracking only, as many as there are slots") {
        for (unsigned slot = 2; slot < max_hierarchies; ++slot) {
            CHECK(forest.create_hierarchy("h" + std::to_string(slot), {}));
        }
        CHECK(forest.create_hierarchy("one-more", {}).error().code == ENOSPC);
    }
    SECTION("removing one gives its slot and its controllers back") {
        CHECK(forest.remove_hierarchy(tenant).error().message() ==
              "cannot remove hierarchy tenant: it has the child acme");
        CHECK(forest.remove_group(web));
        CHECK(forest.remove_group(acme));
        CHECK(forest.remove_hierarchy(tenant));
        CHECK(forest.find_hierarchy("tenant") == nullptr);
        CHECK(forest.group(root) == nullptr);
        CHECK(forest.create_hierarchy("other", Words{"numtasks"}));
    }
    SECTION("all live processes are in the root of a new one") {
        forest.acquire(in(web));
        forest.acquire(MembershipId{0});
        const auto late = *forest.create_hierarchy("late", {});
        CHECK(forest.group(forest.hierarchy(late)->root)->processes == 2);
        CHECK(forest.place(in(web), late) == forest.hierarchy(late)->root);
    }
}

TEST_CASE_METHOD(Fixture, "creating and naming groups") {
    CHECK(forest.path(web) == "/acme/web");
    CHECK(forest.full_path(web) == "tenant:/acme/web");
    CHECK(forest.full_path(root) == "tenant:/");
    CHECK(forest.depth(web) == 2);
    CHECK(forest.is_within(web, acme));
    CHECK(forest.is_within(web, root));
    CHECK_FALSE(forest.is_within(acme, web));
    CHECK(forest.create_group(acme, "web").error().code == EEXIST);
    CHECK(forest.create_group(acme, "a/b").error().code == EINVAL);
    CHECK(forest.create_group(GroupId{999}, "x").error().code == ENOENT);
    CHECK(*make_path(forest, tenant, "/acme/web") == web);
    const auto deep = *make_path(forest, tenant, "/a/b/c");
    CHECK(forest.full_path(deep) == "tenant:/a/b/c");
    CHECK(forest.group_count(tenant) == 6);
    SECTION("depth is bounded") {
        GroupId at = root;
        for (unsigned level = 0; level < max_depth; ++level) {
            at = *forest.create_group(at, "d");
        }
        CHECK(forest.create_group(at, "d").error().code == EAGAIN);
    }
    SECTION("rename") {
        CHECK(forest.rename_group(acme, "umbrella"));
        CHECK(forest.full_path(web) == "tenant:/umbrella/web");
        CHECK(forest.resolve("tenant:/acme").error().code == ENOENT);
        CHECK(forest.rename_group(acme, "umbrella"));
        CHECK(forest.rename_group(acme, "a").error().code == EEXIST);
        CHECK(forest.rename_group(root, "x").error().code == EINVAL);
        CHECK(forest.rename_group(acme, "..").error().code == EINVAL);
    }
}

TEST_CASE_METHOD(Fixture, "resolving") {
    CHECK(*forest.resolve("tenant:/acme/web") == web);
    CHECK(*forest.resolve("numfiles:/acme/web/") == web);
    CHECK(*forest.resolve("tenant:/") == root);
    CHECK(forest.resolve("tenat:/acme").error().message() ==
          "there is no hierarchy or bound controller 'tenat'; did you mean 'tenant'?");
    const auto missing = forest.resolve("tenant:/acme/wbe/x");
    CHECK(missing.error().code == ENOENT);
    CHECK(missing.error().message() == "there is no group tenant:/acme/wbe; did you mean 'web'?");
    CHECK(forest.resolve("tenant:/zzz").error().message() == "there is no group tenant:/zzz");
    SECTION("a hierarchy's name comes before a controller's") {
        const auto named = *forest.create_hierarchy("numfiles", {});
        CHECK(*forest.resolve("numfiles:/") == forest.hierarchy(named)->root);
    }
}

TEST_CASE_METHOD(Fixture, "a removal that cannot be says what is in the way") {
    CHECK(forest.remove_group(acme).error().message() == "cannot remove tenant:/acme: it has the child web");
    CHECK(forest.remove_group(root).error().code == EBUSY);
    for (int number = 1; number < 12; ++number) {
        CHECK(forest.create_group(acme, "g" + std::to_string(number)));
    }
    CHECK(forest.remove_group(acme).error().message() ==
          "cannot remove tenant:/acme: it has the children web, g1, g2, g3, g4, g5, g6, g7 and 4 more");
    forest.set_member_lister([](GroupId, std::size_t most) {
        std::vector<int> pids;
        for (int pid = 100; pids.size() < most; ++pid) {
            pids.push_back(pid);
        }
        return pids;
    });
    const auto member = in(web);
    for (int count = 0; count < 10; ++count) {
        forest.acquire(member);
    }
    CHECK(forest.remove_group(web).error().message() ==
          "cannot remove tenant:/acme/web: 10 processes are in it: 100, 101, 102, 103, 104, 105, 106, 107 "
          "and 2 more");
    for (int count = 0; count < 10; ++count) {
        forest.release(member);
    }
    CHECK(forest.remove_group(web));
    CHECK(forest.remove_group(web).error().code == ENOENT);
}

TEST_CASE_METHOD(Fixture, "a held group dies instead of going, and goes with its last holder") {
    forest.hold(web, "numfiles", "3 open files");
    forest.hold(acme, "memory", "a page");
    CHECK(forest.remove_group(web));
    REQUIRE(forest.group(web) != nullptr);
    CHECK(forest.group(web)->dying);
    CHECK(forest.remove_group(web).error().message() ==
          "cannot remove tenant:/acme/web: it is dying, held by numfiles (3 open files)");
    CHECK(forest.resolve("tenant:/acme/web").error().code == ENOENT);
    CHECK(forest.create_group(web, "x").error().code == ENOENT);
    const auto again = *forest.create_group(acme, "web");
    CHECK(again != web);
    CHECK(forest.place(in(web), tenant) == root);
    CHECK(forest.remove_group(again));
    CHECK(forest.take_gone().empty());  // what went at once is no news

    SECTION("a parent with dying children only dies after them") {
        CHECK(forest.remove_group(acme));
        CHECK(forest.group(acme)->dying);
        CHECK(forest.remove_hierarchy(tenant).error().code == EBUSY);
        forest.drop_hold(acme, "memory");
        CHECK(forest.group(acme) != nullptr);
        forest.drop_hold(web, "numfiles");
        CHECK(forest.take_gone() == std::vector<GroupId>{web, acme});
        CHECK(forest.group(acme) == nullptr);
        CHECK(forest.remove_hierarchy(tenant));
    }
    SECTION("dropping twice is harmless") {
        forest.drop_hold(web, "numfiles");
        forest.drop_hold(web, "numfiles");
        CHECK(forest.take_gone() == std::vector<GroupId>{web});
    }
}

TEST_CASE_METHOD(Fixture, "groups have bounds on depth and number, and a refusal names whose") {
    forest.group(acme)->max_depth = 1;
    CHECK(forest.create_group(acme, "a"));
    CHECK(forest.create_group(web, "b").error().message() ==
          "cannot create a group in tenant:/acme/web: tenant:/acme allows 1 level of groups below it; see "
          "group.max_depth");
    CHECK(forest.create_group(web, "b").error().code == EAGAIN);
    forest.group(acme)->max_depth = 0;
    CHECK(forest.create_group(acme, "c").error().code == EAGAIN);
    forest.group(acme)->max_depth.reset();

    CHECK(forest.group(root)->descendants == 3);
    forest.group(root)->max_descendants = 4;
    CHECK(forest.create_group(web, "b"));
    CHECK(forest.create_group(root, "c").error().message() ==
          "cannot create a group in tenant:/: tenant:/ allows 4 groups below it and has 4; see "
          "group.max_descendants");
    CHECK(forest.create_group(web, "c").error().code == EAGAIN);
    CHECK(forest.remove_group(*forest.resolve("tenant:/acme/web/b")));
    CHECK(forest.create_group(root, "c"));
    SECTION("one that is dying does not count") {
        forest.hold(web, "numfiles", "a file");
        CHECK(forest.remove_group(web));
        CHECK(forest.group(root)->descendants == 3);
        CHECK(forest.create_group(root, "d"));
        forest.drop_hold(web, "numfiles");
        CHECK(forest.group(root)->descendants == 4);
    }
}

TEST_CASE_METHOD(Fixture, "what is in the way is named whole") {
    forest.set_member_lister([](GroupId, std::size_t) { return std::vector<int>{7}; });
    forest.acquire(in(web));
    CHECK(forest.busy_reason(acme) == "it has the child web; 1 process is in it or below: 7");
    CHECK(forest.groups_in_the_way(tenant) == "it has the child acme");
    forest.release(in(web));
    CHECK(forest.remove_group(web));
    forest.hold(acme, "numfiles", "2 files");
    CHECK(forest.remove_group(acme));
    CHECK(forest.groups_in_the_way(tenant) ==
          "it has the child acme (it is dying, held by numfiles (2 files))");
    forest.acquire(MembershipId{0});  // a process in the root is in nobody's way
    forest.drop_hold(acme, "numfiles");
    CHECK(forest.groups_in_the_way(tenant).empty());
    CHECK(forest.remove_hierarchy(tenant));
}

TEST_CASE_METHOD(Fixture, "a controller that is in no hierarchy is told of") {
    forest.set_unbound({"cpuacct"});
    CHECK(forest.resolve("cpuacct:/").error().code == EINVAL);
    CHECK(
        forest.resolve("cpuacct:/a").error().message() ==
        "controller cpuacct is unbound and has no groups: it accounts everything in one place; bind it with "
        "gpcsup hierarchy create or rebind");
    CHECK(forest.resolve("cpuact:/").error().message() ==
          "there is no hierarchy or bound controller 'cpuact'; did you mean 'cpuacct'?");
}

TEST_CASE_METHOD(Fixture, "dying groups are restored, and go unless somebody holds them anew") {
    Forest fresh;
    REQUIRE(fresh.restore_hierarchy(*forest.hierarchy(tenant)));
    REQUIRE(fresh.restore_dying(acme, root, "acme"));
    REQUIRE(fresh.restore_dying(web, acme, "web"));
    REQUIRE(fresh.restore_group(GroupId{web.value + 1}, root, "acme"));  // the name was free again
    CHECK_FALSE(fresh.restore_dying(GroupId{web.value + 2}, GroupId{99}, "x"));
    CHECK(*fresh.resolve("tenant:/acme") == GroupId{web.value + 1});
    CHECK(fresh.group(root)->descendants == 1);
    SECTION("nobody does") {
        fresh.drop_unheld();
        CHECK(fresh.take_gone() == std::vector<GroupId>{web, acme});
    }
    SECTION("the lower one is held: both stay until it is let go") {
        fresh.hold(web, "numfiles", "a file");
        fresh.drop_unheld();
        CHECK(fresh.take_gone().empty());
        CHECK(fresh.group(acme) != nullptr);
        fresh.drop_hold(web, "numfiles");
        CHECK(fresh.take_gone() == std::vector<GroupId>{web, acme});
    }
}

TEST_CASE_METHOD(Fixture, "memberships are interned, counted up the chains, and freed") {
    const auto before = forest.membership_count();
    const auto member = in(web);
    CHECK(in(web) == member);
    CHECK(forest.place(member, HierarchyId{0}) == forest.find_hierarchy("unit")->root);
    CHECK(forest.place(member, tenant) == web);
    forest.acquire(member);
    forest.acquire(member);
    CHECK(forest.group(web)->processes == 2);
    CHECK(forest.group(acme)->processes == 0);
    CHECK(forest.group(acme)->populated == 2);
    CHECK(forest.group(root)->populated == 2);
    CHECK(forest.take_emptied().empty());
    forest.release(member);
    CHECK(forest.take_emptied().empty());
    forest.release(member);
    const auto emptied = forest.take_emptied();
    CHECK(std::count(emptied.begin(), emptied.end(), web) == 1);
    CHECK(std::count(emptied.begin(), emptied.end(), acme) == 1);
    CHECK(forest.take_emptied().empty());
    static_cast<void>(in(web));
    CHECK(forest.remove_group(web));  // the row that nobody claimed goes with its group
    CHECK(forest.membership_count() == before);
}

TEST_CASE_METHOD(Fixture, "a thread apart populates its group and is no process of it") {
    const auto other = *forest.create_group(root, "other");
    const auto member = in(other);
    forest.acquire(member);
    static_cast<void>(forest.take_flipped());
    forest.add_thread(web);
    CHECK(forest.take_flipped() == std::vector<GroupId>{web, acme});  // the root was populated before
    for (const GroupId id : {web, acme}) {
        CHECK(forest.group(id)->populated == 1);
        CHECK(forest.group(id)->threads_below == 1);
        CHECK(forest.group(id)->processes_below() == 0);
    }
    CHECK(forest.group(web)->threads == 1);
    CHECK(forest.group(acme)->threads == 0);
    CHECK(forest.group(web)->processes == 0);
    CHECK(forest.group(root)->populated == 2);
    CHECK(forest.group(root)->processes_below() == 1);
    SECTION("its group stays, and the refusal names it") {
        forest.set_member_lister([](GroupId, std::size_t) { return std::vector<int>{4711}; });
        forest.set_thread_lister(
            [](GroupId, std::size_t) { return std::vector<std::string>{"4712 of process 4711"}; });
        CHECK(forest.remove_group(web).error().code == EBUSY);
        CHECK(forest.busy_reason(web) == "1 thread is in it: 4712 of process 4711");
        CHECK(forest.busy_reason(acme) ==
              "it has the child web; 1 thread is in it or below: 4712 of process 4711");
        CHECK(forest.busy_reason(other) == "1 process is in it: 4711");
        forest.add_thread(other);
        CHECK(forest.busy_reason(other) ==
              "1 process is in it: 4711; 1 thread is in it: 4712 of process 4711");
    }
    SECTION("the last one empties it") {
        forest.group(web)->notify_on_release = true;
        static_cast<void>(forest.take_release_candidates());
        forest.add_thread(web);
        forest.remove_thread(web);
        CHECK(forest.take_emptied().empty());
        CHECK_FALSE(forest.is_releasable(web));
        forest.remove_thread(web);
        CHECK(forest.take_emptied() == std::vector<GroupId>{web, acme});
        CHECK(forest.take_release_candidates() == std::vector<GroupId>{web, acme});
        CHECK(forest.is_releasable(web));
        CHECK(forest.remove_group(web));
    }
    SECTION("no group is none") {
        forest.add_thread(GroupId{});
        forest.remove_thread(GroupId{});
        CHECK(forest.group(root)->populated == 2);
    }
}

TEST_CASE_METHOD(Fixture, "a group that filled again before it was looked at is not reported empty") {
    const auto member = in(web);
    forest.acquire(member);
    forest.release(member);
    forest.acquire(in(web));
    CHECK(forest.take_emptied().empty());
}

TEST_CASE_METHOD(Fixture, "rows that are only interned do not pile up") {
    for (int number = 0; number < 5000; ++number) {
        static_cast<void>(in(*forest.create_group(root, "g" + std::to_string(number))));
    }
    CHECK(forest.membership_count() < 1100);
}

TEST_CASE_METHOD(Fixture, "visiting") {
    std::vector<std::string> seen;
    static_cast<void>(forest.create_group(acme, "db"));
    forest.for_each_below(root, [&](const Group& group) { seen.push_back(forest.path(group.id)); });
    CHECK(seen == std::vector<std::string>{"/", "/acme", "/acme/web", "/acme/db"});
}

TEST_CASE_METHOD(Fixture, "a path is walked as far as it exists") {
    const auto walk = [&](std::string_view path) {
        auto walked = forest.walk(tenant, path);
        REQUIRE(walked);
        return std::pair(walked->reached, walked->missing);
    };
    using Names = std::vector<std::string_view>;
    CHECK(walk("/") == std::pair(root, Names{}));
    CHECK(walk("/acme/web") == std::pair(web, Names{}));
    CHECK(walk("/acme/db/deep") == std::pair(acme, Names{"db", "deep"}));
    CHECK(walk("/acme/db/web") == std::pair(acme, Names{"db", "web"}));  // not that of acme
    CHECK(forest.walk(tenant, "acme").error().code == EINVAL);
    CHECK(forest.walk(HierarchyId{9}, "/acme").error().code == ENOENT);
}

TEST_CASE_METHOD(Fixture, "a forest is restored with its numbers") {
    Forest successor;
    for (const Hierarchy* hierarchy : forest.hierarchies()) {
        CHECK(successor.restore_hierarchy(*hierarchy));
        forest.for_each_below(hierarchy->root, [&](const Group& group) {
            if (group.parent.value != 0) {
                CHECK(successor.restore_group(group.id, group.parent, group.name));
            }
        });
    }
    CHECK(*successor.resolve("numtasks:/acme/web") == web);
    const auto fresh = *successor.create_group(acme, "new");
    CHECK(forest.group(fresh) == nullptr);  // a number that was never used
    CHECK(successor.restore_group(web, acme, "other").error().code == EEXIST);
    CHECK(successor.restore_group(GroupId{77}, GroupId{78}, "x").error().code == ENOENT);
    Hierarchy clash = *forest.hierarchy(tenant);
    clash.id = HierarchyId{5};
    CHECK(successor.restore_hierarchy(clash).error().code == EBUSY);
}

TEST_CASE("a place that is taken and left thousands of times can be taken again each time") {
    Forest forest;
    const auto group = forest.create_group(forest.hierarchy(HierarchyId{0})->root, "unit").value();
    Places places{};
    places[0] = group;
    for (int round = 0; round < 5000; ++round) {
        const auto id = forest.intern(places);
        forest.acquire(id);
        REQUIRE(forest.group(group)->processes == 1);
        forest.release(id);
    }
    CHECK(forest.group(group)->processes == 0);
}

TEST_CASE("whose rules a hierarchy keeps to is given when it is made, and its own for good") {
    Forest forest;
    const std::vector<std::string> tasks{"numtasks"};
    const auto old = *forest.create_hierarchy("old", tasks, Compat::year_2006);
    CHECK(*forest.create_hierarchy("old", tasks, Compat::year_2006) == old);
    const auto other = forest.create_hierarchy("old", tasks);
    CHECK(other.error().code == EBUSY);
    CHECK(other.error().message() ==
          "hierarchy old exists with compat \"2006\", and the rules by which its groups count cannot be "
          "changed; remove it and make it anew");
    const auto today = *forest.create_hierarchy("today", std::vector<std::string>{});
    CHECK(forest.create_hierarchy("today", std::vector<std::string>{}, Compat::year_2006).error().code ==
          EBUSY);
    CHECK(forest.set_controllers(old, std::vector<std::string>{}));
    CHECK(forest.hierarchy(old)->compat == Compat::year_2006);

    for (const HierarchyId id : {old, today}) {
        const auto root = forest.hierarchy(id)->root;
        const auto top = *forest.create_group(root, "top");
        const auto below = *forest.create_group(top, "below");
        const bool hierarchical = id == today;
        CHECK(forest.counts_in(below, below));
        CHECK(forest.counts_in(below, top) == hierarchical);
        CHECK(forest.counts_in(below, root) == hierarchical);
        CHECK_FALSE(forest.counts_in(top, below));
        CHECK(forest.counted_above(below) == (hierarchical ? top : GroupId{}));
        CHECK(forest.counted_above(root) == GroupId{});
        CHECK(forest.is_within(below, root));
    }
    CHECK(forest.compat_of(GroupId{999}) == Compat::none);
    CHECK_FALSE(forest.counts_in(GroupId{999}, forest.hierarchy(old)->root));
    for (const Compat each : {Compat::none, Compat::year_2006}) {
        CHECK(compat_named(name_of(each)) == each);
    }
    CHECK_FALSE(compat_named("2007"));
}
