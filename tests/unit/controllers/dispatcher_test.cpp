#include "controllers/dispatcher.h"

#include <algorithm>
#include <catch2/catch.hpp>

#include "controllers/core_attributes.h"
#include "controllers/describe.h"
#include "controllers/fake_host.h"

using namespace gpcsup;
using namespace gpcsup::controllers;
using grouping::GroupId;
using Words = std::vector<std::string>;

namespace gpcsup::test {
void make_tally_fail_for(std::uint32_t group);
}

namespace {

struct Fixture {
    test::FakeHost host;
    ControllerSet set{host.trees(), host};
    grouping::HierarchyId tenant = *set.create_hierarchy("tenant", Words{"tally", "numtasks"});
    GroupId root = host.trees().hierarchy(tenant)->root;
    GroupId acme = *set.create_path(tenant, "/acme");

    ~Fixture() { test::make_tally_fail_for(0); }
    std::string get(GroupId id, std::string_view name) { return format_value(*set.get(id, name)); }
    base::Result<> put(GroupId id, std::vector<SettingText> settings) { return set.set(id, settings); }
    grouping::Places at(GroupId id) {
        grouping::Places places{};
        places[host.trees().group(id)->hierarchy.value] = id;
        return places;
    }
};

}  // namespace

TEST_CASE("a controller that is only linked is found") {
    CHECK(find_controller("tally") != nullptr);
    CHECK((*find_attribute("tally.weight"))->default_text == "1");
    CHECK(find_attribute("tally.weigth").error().message() ==
          "there is no attribute 'tally.weigth'; did you mean 'tally.weight'?");
    CHECK(require_controller("taly").error().message() ==
          "there is no controller 'taly'; did you mean 'tally'?");
    CHECK((*find_attribute("group.auto_remove"))->type == AttributeType::boolean);
    CHECK(find_attribute("limit").error().code == ENOENT);
}

TEST_CASE("the registry is sorted and described whole") {
    const auto all = registered();
    CHECK(std::ranges::is_sorted(all, {}, &Registered::name));
    for (const char* name : {"cpuacct", "cpuset", "numtasks", "tally"}) {
        CHECK(std::ranges::count(all, name, &Registered::name) == 1);
    }
    const auto described = describe_attributes();
    const auto weight = std::ranges::find(described, "tally.weight", &AttributeDescription::name);
    REQUIRE(weight != described.end());
    CHECK(weight->access_text == "read-write");
    CHECK(weight->type_text == "whole number");
    CHECK(described.back().controller == core_name);
    for (const AttributeDescription& each : described) {
        INFO(each.name);
        CHECK_FALSE(each.help.empty());
        CHECK(each.completion.empty() == (each.access == Access::read_only));
        const auto attribute = find_attribute(each.name);
        REQUIRE(attribute);
        // A declared default is a value; a mark is only ever set to now.
        if (each.access == Access::read_write && (*attribute)->type != AttributeType::mark) {
            CHECK(parse_value(each.name, **attribute, each.default_text));
        }
    }
}

TEST_CASE_METHOD(Fixture, "hierarchies and their controllers") {
    CHECK(std::ranges::count(set.unbound(), "cpuset") == 1);
    CHECK(std::ranges::count(set.unbound(), "tally") == 0);
    CHECK(*host.trees().resolve("tally:/acme") == acme);
    CHECK(set.create_hierarchy("x", Words{"cpuste"}).error().message() ==
          "there is no controller 'cpuste'; did you mean 'cpuset'?");
    CHECK(set.create_hierarchy("x", Words{"tally"}).error().code == EBUSY);
    CHECK(*set.create_hierarchy("tenant", Words{"numtasks", "tally"}) == tenant);
    CHECK(set.rebind(tenant, Words{"tally"}).error().code == EBUSY);
    CHECK(put(root, {{"tally.weight", "5"}}));
    CHECK(set.remove_group(acme));
    CHECK(set.rebind(tenant, Words{"tally", "cpuset"}));
    CHECK(get(root, "tally.weight") == "5");  // it stayed, and so did its state
    CHECK(get(root, "cpuset.cpus") == "0-3");
    CHECK(set.get(root, "numtasks.limit").error().code == EINVAL);
    CHECK(set.rebind(tenant, Words{"cpuset"}));
    CHECK(set.settings_of(root).empty());
    CHECK(set.rebind(tenant, Words{"tally"}));
    CHECK(get(root, "tally.weight") == "1");
    CHECK(set.remove_hierarchy(tenant));
    CHECK(std::ranges::count(set.unbound(), "tally") == 1);
}

TEST_CASE_METHOD(Fixture, "a group that a controller refuses is not made") {
    const auto next = host.trees().group_count(tenant);
    test::make_tally_fail_for(acme.value + 2);
    CHECK(set.create_path(tenant, "/a/b/c").error().message() == "tally has no room");
    CHECK(host.trees().group_count(tenant) == next);
    CHECK(host.trees().resolve("tenant:/a").error().code == ENOENT);
    CHECK(host.retired_.contains(GroupId{acme.value + 2}));  // numtasks had agreed before and was told
    test::make_tally_fail_for(acme.value + 3);
    CHECK(set.create_hierarchy("late", Words{"cpuset"}));
}

TEST_CASE_METHOD(Fixture, "several settings are one transaction") {
    SECTION("all, or none when one is not a value") {
        CHECK(put(acme, {{"tally.weight", "7"}, {"numtasks.limit", "many"}}).error().code == EINVAL);
        CHECK(get(acme, "tally.weight") == "1");
    }
    SECTION("or none when one fails in the machine") {
        host.table_full_ = true;
        CHECK(put(acme, {{"tally.weight", "7"}, {"numtasks.limit", "5"}}).error().code == ENOSPC);
        CHECK(get(acme, "tally.weight") == "1");
        CHECK(set.settings_of(acme).empty());
    }
    SECTION("the one that failed is set back as well") {
        CHECK(put(acme, {{"numtasks.limit", "5"}, {"tally.weight", "13"}}).error().message() ==
              "tally fears 13");
        CHECK(get(acme, "tally.weight") == "1");
        CHECK(get(acme, "numtasks.limit") == "max");
    }
    SECTION("what was set is remembered until it is the default again") {
        CHECK(put(acme, {{"tally.weight", "7"}, {"numtasks.limit", "5"}, {"group.auto_remove", "true"}}));
        const auto settings = set.settings_of(acme);
        REQUIRE(settings.size() == 3);
        CHECK(settings[0].name == "group.auto_remove");
        CHECK(settings[1].value == "5");
        CHECK(put(acme, {{"numtasks.limit", "max"}}));
        CHECK(set.settings_of(acme).size() == 2);
    }
    SECTION("checking alone changes nothing") {
        CHECK(set.check(acme, std::vector<SettingText>{{"tally.weight", "9"}}));
        CHECK(get(acme, "tally.weight") == "1");
    }
    CHECK(put(acme, {{"tally.weight", "7"}, {"tally.weight", "8"}}).error().message() ==
          "tally.weight is given twice");
    CHECK(put(acme, {{"tally.weight", "0"}}).error().message() ==
          "tally.weight: expected a number from 1 to 100");
    CHECK(put(acme, {{"cpuset.cpus", "0"}}).error().message() ==
          "cpuset.cpus: controller cpuset is unbound; bind it with gpcsup hierarchy create or rebind");
    CHECK(put(root, {{"group.auto_remove", "true"}}).error().code == EINVAL);
    CHECK(put(GroupId{999}, {{"tally.weight", "7"}}).error().code == ENOENT);
}

TEST_CASE_METHOD(Fixture, "all values of a group") {
    Words names;
    for (const NamedValue& each : set.get_all(acme)) {
        names.push_back(each.name);
    }
    Words expected{"numtasks.limit",
                   "numtasks.current",
                   "numtasks.peak",
                   "numtasks.failcnt",
                   "numtasks.process_limit",
                   "numtasks.processes",
                   "numtasks.forkrate",
                   "numtasks.forkrate_failcnt",
                   "numtasks.min_shares",
                   "numtasks.max_shares",
                   "numtasks.child_shares_divisor",
                   "numtasks.effective_limit",
                   "numtasks.guarantee",
                   "tally.forks",
                   "tally.exits",
                   "tally.weight"};
    for (const Attribute& each : core_attributes()) {
        if (each.name != "release_agent") {  // the root's
            expected.push_back("group." + std::string(each.name));
        }
    }
    CHECK(names == expected);
    CHECK(get(acme, "group.populated") == "false");
    host.start(10, host.trees().intern(at(acme)));
    CHECK(get(acme, "group.populated") == "true");
    CHECK(get(root, "group.populated") == "true");
    CHECK(get(acme, "group.references") == "1");
    CHECK(get(root, "group.references") == "1");
}

TEST_CASE_METHOD(Fixture, "forks and exits reach the group of the process") {
    auto& parent = host.start(10, host.trees().intern(at(acme)));
    auto& child = host.start(11, parent.membership, 10);
    set.forked(parent, child);
    CHECK(get(acme, "tally.forks") == "1");
    CHECK(get(root, "tally.forks") == "0");
    set.exited(child);
    host.table_->mark_dead(child);
    set.exited(parent);
    CHECK(get(acme, "tally.exits") == "2");
}

TEST_CASE_METHOD(Fixture, "traps asked for by name") {
    CHECK(*set.traps(at(acme)) == std::vector<wire::TrapClass>{});
    CHECK(*set.traps(at(acme), Words{"numtasks", "cpuset"}) ==
          std::vector{wire::TrapClass::task, wire::TrapClass::affinity});
    CHECK(set.traps(at(acme), Words{"tally"}).error().code == EINVAL);
    CHECK(set.traps(at(acme), Words{"numtask"}).error().message() ==
          "there is no controller 'numtask'; did you mean 'numtasks'?");
}

TEST_CASE_METHOD(Fixture, "groups that remove themselves") {
    const auto own = *set.create_path(tenant, "/acme/pool/web");
    const auto pool = host.trees().group(own)->parent;
    REQUIRE(put(own, {{"group.auto_remove", "true"}, {"numtasks.limit", "5"}}));
    REQUIRE(put(pool, {{"group.auto_remove", "true"}}));
    auto& process = host.start(10, host.trees().intern(at(own)));
    CHECK(set.collect_empty().removed.empty());
    host.table_->mark_dead(process);  // a zombie is no member
    const auto emptied = set.collect_empty();
    REQUIRE(emptied.removed.size() == 2);
    CHECK(emptied.removed[0].id == own);
    CHECK(emptied.removed[0].full_path == "tenant:/acme/pool/web");
    CHECK(emptied.removed[1].full_path == "tenant:/acme/pool");
    CHECK(std::ranges::count(emptied.emptied, acme) == 1);
    CHECK(std::ranges::count(emptied.emptied, own) == 0);
    CHECK(host.budgets_.empty());
    CHECK(set.settings_of(own).empty());
    CHECK(set.collect_empty().emptied.empty());
}

TEST_CASE_METHOD(Fixture, "a held group keeps its controllers' state until it goes") {
    const auto held = *set.create_path(tenant, "/held");
    REQUIRE(put(held, {{"numtasks.limit", "5"}}));
    host.trees().hold(held, "numfiles", "an open file");
    CHECK(set.remove_group(held));
    CHECK(host.budgets_.size() == 1);
    CHECK(set.collect_empty().removed.empty());
    CHECK(host.budgets_.size() == 1);
    host.trees().drop_hold(held, "numfiles");
    static_cast<void>(set.collect_empty());
    CHECK(host.budgets_.empty());
}

TEST_CASE_METHOD(Fixture, "a successor makes the same state from the forest and the settings") {
    REQUIRE(put(acme, {{"tally.weight", "7"}, {"numtasks.limit", "5"}}));
    test::FakeHost fresh;
    for (const grouping::Hierarchy* hierarchy : host.trees().hierarchies()) {
        REQUIRE(fresh.trees().restore_hierarchy(*hierarchy));
        host.trees().for_each_below(hierarchy->root, [&](const grouping::Group& group) {
            if (group.parent.value != 0) {
                REQUIRE(fresh.trees().restore_group(group.id, group.parent, group.name));
            }
        });
    }
    ControllerSet successor(fresh.trees(), fresh);
    CHECK(successor.adopt());
    for (const SettingText& setting : set.settings_of(acme)) {
        CHECK(successor.restore_setting(acme, setting));
    }
    CHECK(format_value(*successor.get(acme, "tally.weight")) == "7");
    CHECK(format_value(*successor.get(acme, "numtasks.limit")) == "5");
    CHECK(fresh.budgets_[{acme, wire::BudgetKind::tasks}].limit == 5);
    CHECK(successor.settings_of(acme).size() == 2);
}
