// Hierarchies that come, go and change their controllers; controllers in none; what new groups inherit; trees
// removed whole; groups that are held.

#include <algorithm>
#include <catch2/catch.hpp>

#include "controllers/core_attributes.h"
#include "controllers/fake_host.h"
#include "controllers/lodger.h"

using namespace gpcsup;
using namespace gpcsup::controllers;
using grouping::GroupId;
using Words = std::vector<std::string>;

namespace {

struct Fixture {
    test::FakeHost host;
    ControllerSet set{host.trees(), host};
    GroupId everybody = host.trees().hierarchy(grouping::HierarchyId{0})->root;

    std::string get(GroupId id, std::string_view name) { return format_value(*set.get(id, name)); }
    base::Result<> put(GroupId id, std::vector<SettingText> settings) { return set.set(id, settings); }
    std::string unbound(std::string_view controller, std::string_view name) {
        for (const NamedValue& each : set.get_unbound(controller)) {
            if (each.name == name) {
                return format_value(each.value);
            }
        }
        return "(absent)";
    }
    grouping::HierarchyId make(std::string_view name, const Words& controllers) {
        return *set.create_hierarchy(name, controllers);
    }
    GroupId root(grouping::HierarchyId id) { return host.trees().hierarchy(id)->root; }
    grouping::MembershipId in(GroupId id) {
        grouping::Places places{};
        places[host.trees().group(id)->hierarchy.value] = id;
        return host.trees().intern(places);
    }
};

}  // namespace

TEST_CASE_METHOD(Fixture, "an unbound controller accounts everything in one place") {
    auto& parent = host.start(10);
    auto& child = host.start(11, {}, 10);
    set.forked(parent, child);
    set.exited(child);
    host.times_[everybody].usage_ns = 17;
    CHECK(unbound("tally", "tally.forks") == "1");
    CHECK(unbound("tally", "tally.exits") == "1");
    CHECK(unbound("cpuacct", "cpuacct.usage") == "17");
    CHECK(unbound("cpuset", "cpuset.effective_cpus") == "0-3");
    CHECK(unbound("numtasks", "numtasks.processes") == "2");
    CHECK(*set.unbound_account("tally:/") == "tally");
    CHECK_FALSE(set.unbound_account("tally:/a"));
    CHECK_FALSE(set.unbound_account("unit:/"));
    CHECK(set.get(everybody, "tally.forks").error().message() ==
          "tally.forks: controller tally is unbound; bind it with gpcsup hierarchy create or rebind");
    CHECK(put(everybody, {{"tally.weight", "3"}}).error().code == EINVAL);

    const auto late = make("late", {"tally"});
    CHECK_FALSE(set.unbound_account("tally:/"));
    CHECK(unbound("tally", "tally.forks") == "(absent)");
    set.forked(parent, child);
    CHECK(get(root(late), "tally.forks") == "1");  // its account of before is closed
    CHECK(set.remove_hierarchy(late));
    set.forked(parent, child);
    CHECK(unbound("tally", "tally.forks") == "1");
    CHECK(set.get_all(everybody).size() == core_attributes().size());  // none of it is an attribute of `unit`
}

TEST_CASE_METHOD(Fixture, "rebinding moves controllers between a tree and the one place") {
    const auto tree = make("tree", {"numtasks", "tally"});
    REQUIRE(put(root(tree), {{"numtasks.limit", "5"}, {"tally.weight", "2"}}));
    CHECK(set.rebind(tree, Words{"tally", "cpuset"}));
    CHECK(get(root(tree), "tally.weight") == "2");
    CHECK(unbound("numtasks", "numtasks.limit") == "max");
    CHECK(host.budgets_.empty());
    CHECK(unbound("cpuset", "cpuset.cpus") == "(absent)");
    CHECK(set.rebind(tree, Words{}));
    CHECK(unbound("tally", "tally.weight") == "1");
    CHECK(set.rebind(grouping::HierarchyId{0}, Words{"tally"}).error().message() ==
          "hierarchy unit is built in and has no controllers; bind them to another one with gpcsup hierarchy "
          "create");
    CHECK(set.rebind(tree, Words{"tally", "tally"}).error().code == EINVAL);
    const auto group = *set.create_group(root(tree), "g");
    CHECK(set.rebind(tree, Words{"tally"}).error().message() ==
          "cannot change the controllers of hierarchy tree: it has the child g");
    CHECK(set.remove_group(group));
    host.start(10);  // processes in the root are in nobody's way
    CHECK(set.rebind(tree, Words{"tally"}));
}

TEST_CASE_METHOD(Fixture, "a hierarchy does not hide a controller behind its name") {
    CHECK(set.create_hierarchy("tally", Words{"cpuset"}).error().code == EINVAL);
    const auto tally = make("tally", {"tally", "cpuset"});
    CHECK(set.rebind(tally, Words{"cpuset"}).error().code == EINVAL);
    CHECK(set.rebind(tally, Words{"tally"}));
}

TEST_CASE_METHOD(Fixture, "a new group has what it inherits, and no limits") {
    const auto tree = make("tree", {"numtasks", "cpuset"});
    const auto a = *set.create_path(tree, "/a");
    REQUIRE(put(a, {{"numtasks.limit", "5"},
                    {"cpuset.cpus", "1-2"},
                    {"group.notify_on_release", "true"},
                    {"group.owner", "1000"},
                    {"group.max_depth", "4"},
                    {"group.auto_remove", "true"}}));
    const auto b = *set.create_group(a, "b");
    CHECK(get(b, "group.notify_on_release") == "true");
    CHECK(get(b, "group.owner") == "1000");
    CHECK(get(b, "group.max_depth") == "max");
    CHECK(get(b, "group.auto_remove") == "false");
    CHECK(get(b, "numtasks.limit") == "max");
    CHECK(get(b, "cpuset.cpus").empty());
    SECTION("with clone_children it starts with its parent's CPUs, and so on downwards") {
        REQUIRE(put(a, {{"group.clone_children", "true"}}));
        const auto c = *set.create_group(a, "c");
        CHECK(get(c, "cpuset.cpus") == "1-2");
        CHECK(get(c, "group.clone_children") == "true");
        CHECK(get(*set.create_group(c, "d"), "cpuset.cpus") == "1-2");
        CHECK(get(c, "numtasks.limit") == "max");
        CHECK(set.settings_of(c).size() == 1);
    }
    SECTION("the root has all CPUs without asking for any, and so has a clone of it") {
        REQUIRE(put(root(tree), {{"group.clone_children", "true"}}));
        const auto c = *set.create_group(root(tree), "c");
        CHECK(get(c, "cpuset.cpus").empty());
        CHECK(get(c, "cpuset.effective_cpus") == get(root(tree), "cpuset.effective_cpus"));
    }
    SECTION("what cannot be copied cannot be created") {
        REQUIRE(put(a, {{"group.clone_children", "true"}, {"cpuset.cpu_exclusive", "true"}}));
        REQUIRE(put(b, {{"cpuset.cpus", "1"}, {"cpuset.cpu_exclusive", "true"}}));
        CHECK(set.create_group(a, "c").error().code == EINVAL);
        CHECK(host.trees().resolve("tree:/a/c").error().code == ENOENT);
    }
    SECTION("all of it is among what a snapshot looks at, set or not") {
        std::vector<std::string> all;
        for (const SettingText& one : set.all_settings_of(b)) {
            all.push_back(one.name + "=" + one.value);
        }
        CHECK(all == std::vector<std::string>{"group.notify_on_release=true", "group.owner=1000"});
        CHECK(set.settings_of(b).empty());
    }
}

TEST_CASE_METHOD(Fixture, "a tree is removed whole or not at all") {
    const auto tree = make("tree", {"numtasks", "lodger"});
    const auto top = *set.create_path(tree, "/a");
    const auto low = *set.create_path(tree, "/a/b/c");
    const auto other = *set.create_path(tree, "/a/d");
    auto& process = host.start(10, in(low));
    CHECK(set.remove_tree(top).error().code == EBUSY);
    CHECK(host.trees().group_count(tree) == 5);
    host.table_->mark_dead(process);
    test::lodgers_come(host, other, 2);
    const auto removed = set.remove_tree(top);
    REQUIRE(removed);
    Words paths;
    for (const RemovedGroup& each : *removed) {
        paths.push_back(each.full_path);
    }
    CHECK(paths == Words{"tree:/a/d", "tree:/a/b/c", "tree:/a/b", "tree:/a"});
    CHECK(host.trees().group(other)->dying);
    CHECK(host.trees().group(top)->dying);  // below it somebody is dying
    CHECK(host.trees().group(low) == nullptr);
    CHECK(set.remove_tree(top).error().code == EBUSY);
    test::lodgers_leave(host, other);
    const auto gone = set.collect_empty().removed;
    REQUIRE(gone.size() == 2);
    CHECK(gone[0].full_path == "tree:/a/d");
    CHECK(gone[1].full_path == "tree:/a");
    CHECK(gone[1].dying);
    CHECK(host.trees().group_count(tree) == 1);
    CHECK(set.remove_tree(root(tree)).error().code == EBUSY);
}

TEST_CASE_METHOD(Fixture, "a removal is told of before anything is gone, and only when it is sure") {
    const auto tree = make("tree", {"cpuacct", "numtasks"});
    const auto top = *set.create_path(tree, "/a");
    const auto low = *set.create_path(tree, "/a/b");
    const auto own = *set.create_path(tree, "/own");
    REQUIRE(put(low, {{"numtasks.limit", "5"}}));
    REQUIRE(put(own, {{"group.auto_remove", "true"}}));
    auto& process = host.start(10, in(own));
    std::vector<GroupId> told;
    set.on_removing([&](GroupId id) {
        told.push_back(id);
        CHECK(host.trees().group(id) != nullptr);
        CHECK_FALSE(host.trees().group(id)->dying);
        CHECK(host.table_->books().has(id) == (id == own));
        CHECK(set.settings_of(id).size() == (id == top ? 0 : 1));
        CHECK(set.get(id, "numtasks.current"));
    });
    CHECK_FALSE(set.remove_group(top));
    CHECK_FALSE(set.remove_group(own));
    CHECK_FALSE(set.remove_tree(root(tree)));
    CHECK(told.empty());
    host.table_->mark_dead(process);
    CHECK(set.collect_empty().removed.size() == 1);
    CHECK(set.remove_tree(top));
    CHECK(told == std::vector{own, low, top});
    REQUIRE(put(root(tree), {{"group.max_descendants", "1"}}));
    CHECK_FALSE(set.create_path(tree, "/x/y"));  // what was made of it is of no interest to anybody
    CHECK(host.trees().group_count(tree) == 1);
    CHECK(told.size() == 3);
}

TEST_CASE_METHOD(Fixture, "a hold is taken anew by the controller after a restart") {
    const auto tree = make("tree", {"lodger"});
    const auto dying = *set.create_path(tree, "/dying");
    const auto left = *set.create_path(tree, "/left");
    const auto living = *set.create_path(tree, "/living");
    for (const GroupId each : {dying, left, living}) {
        test::lodgers_come(host, each, each.value);
    }
    REQUIRE(set.remove_group(dying));
    REQUIRE(set.remove_group(left));

    test::FakeHost fresh;
    REQUIRE(fresh.trees().restore_hierarchy(*host.trees().hierarchy(tree)));
    REQUIRE(fresh.trees().restore_dying(dying, root(tree), "dying"));
    REQUIRE(fresh.trees().restore_dying(left, root(tree), "left"));
    REQUIRE(fresh.trees().restore_group(living, root(tree), "living"));
    test::lodgers_leave_unseen(left);
    ControllerSet successor(fresh.trees(), fresh);
    REQUIRE(successor.adopt());
    successor.recover();
    const auto gone = successor.collect_empty().removed;
    REQUIRE(gone.size() == 1);
    CHECK(gone[0].full_path == "tree:/left");
    CHECK(gone[0].dying);
    REQUIRE(fresh.trees().group(dying) != nullptr);
    CHECK(fresh.trees().group(dying)->holders->at("lodger") == std::to_string(dying.value) + " lodgers");
    CHECK(fresh.trees().group(living)->holders->contains("lodger"));
    test::lodgers_leave(fresh, dying);
    CHECK(successor.collect_empty().removed.size() == 1);
    test::lodgers_leave(fresh, living);
    CHECK(successor.collect_empty().removed.empty());  // it lives on
    CHECK(fresh.trees().group(living) != nullptr);
}

TEST_CASE_METHOD(Fixture,
                 "a group that was to go when empty goes after a restart, unless it never had a process") {
    const auto tree = make("tree", {});
    const auto used = *set.create_path(tree, "/used");
    const auto fresh = *set.create_path(tree, "/fresh");
    for (const GroupId each : {used, fresh}) {
        REQUIRE(put(each, {{"group.auto_remove", "true"}}));
    }
    host.table_->mark_dead(host.start(10, in(used)));
    (void)host.trees().take_emptied();  // the news that the predecessor could not act on any more
    set.recover();
    const auto removed = set.collect_empty().removed;
    REQUIRE(removed.size() == 1);
    CHECK(removed[0].full_path == "tree:/used");
}

TEST_CASE_METHOD(Fixture,
                 "a group that was used and is empty goes at once when it is told to go when empty") {
    const auto tree = make("tree", {});
    const auto used = *set.create_path(tree, "/used");
    const auto busy = *set.create_path(tree, "/busy");
    const auto fresh = *set.create_path(tree, "/fresh");
    host.table_->mark_dead(host.start(10, in(used)));
    (void)host.start(11, in(busy));
    (void)set.collect_empty();
    for (const GroupId each : {used, busy, fresh}) {
        REQUIRE(put(each, {{"group.auto_remove", "true"}}));
    }
    const auto removed = set.collect_empty().removed;
    REQUIRE(removed.size() == 1);
    CHECK(removed[0].full_path == "tree:/used");
}

TEST_CASE_METHOD(Fixture, "news of emptied groups that somebody else has taken are acted upon") {
    const auto tree = make("tree", {});
    const auto used = *set.create_path(tree, "/used");
    REQUIRE(put(used, {{"group.auto_remove", "true"}}));
    host.table_->mark_dead(host.start(10, in(used)));
    const auto told = host.trees().take_emptied();
    CHECK(set.collect_empty().removed.empty());
    CHECK(set.collect_empty(told).removed.size() == 1);
}
