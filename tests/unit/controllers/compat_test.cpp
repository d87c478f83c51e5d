// Hierarchies of 2006: what the controllers publish, count and refuse there.

#include <catch2/catch.hpp>

#include "controllers/fake_host.h"

using namespace gpcsup;
using namespace gpcsup::controllers;
using grouping::Compat;
using grouping::GroupId;
using wire::BudgetKind;
using Words = std::vector<std::string>;

namespace {

struct Fixture {
    test::FakeHost host;
    ControllerSet set{host.trees(), host};
    grouping::HierarchyId old =
        *set.create_hierarchy("old", Words{"numtasks", "numfiles", "cpuacct"}, Compat::year_2006);
    GroupId root = host.trees().hierarchy(old)->root;
    GroupId a = *set.create_path(old, "/a");
    GroupId below = *set.create_path(old, "/a/below");

    base::Result<> put(GroupId id, std::vector<SettingText> settings) { return set.set(id, settings); }
    std::string get(GroupId id, std::string_view name) { return format_value(*set.get(id, name)); }
    test::FakeHost::Budget& budget(GroupId id, BudgetKind kind) { return host.budgets_.at({id, kind}); }
    grouping::MembershipId in(GroupId id) {
        grouping::Places places{};
        places[old.value] = id;
        return host.trees().intern(places);
    }
    std::vector<wire::TrapClass> traps(GroupId id) {
        grouping::Places places{};
        places[old.value] = id;
        return set.birth(places).traps;
    }
};

}  // namespace

TEST_CASE_METHOD(Fixture, "2006: a new group has 256 and 512 open files, the root has no limit") {
    CHECK_FALSE(host.budgets_.contains({root, BudgetKind::files}));
    CHECK(get(root, "numfiles.limit") == "max");
    CHECK(get(a, "numfiles.barrier") == "256");
    CHECK(get(below, "numfiles.limit") == "512");
    CHECK(budget(below, BudgetKind::files).barrier == 256);
    CHECK(budget(below, BudgetKind::files).limit == 512);
    CHECK(budget(below, BudgetKind::files).refuse_errno == ENFILE);
    CHECK(set.settings_of(a).empty());
    // What is written down is what differs from that.
    REQUIRE(put(a, {{"numfiles.barrier", "max"}, {"numfiles.limit", "512"}}));
    REQUIRE(set.settings_of(a).size() == 1);
    CHECK(set.settings_of(a)[0].value == "max");
    CHECK(put(a, {{"numfiles.limit", "max"}}));
    CHECK(put(a, {{"numfiles.barrier", "256"}, {"numfiles.limit", "512"}}));
    CHECK(set.settings_of(a).empty());
    host.table_full_ = true;
    CHECK(set.create_path(old, "/late").error().code == ENOSPC);
    CHECK_FALSE(host.trees().child(root, "late"));
}

TEST_CASE_METHOD(Fixture, "2006: after a restart a limit holds until all of its settings are there again") {
    REQUIRE(put(a, {{"numfiles.barrier", "1000"}, {"numfiles.limit", "2000"}}));
    const auto settings = set.settings_of(a);
    ControllerSet successor(host.trees(), host);
    REQUIRE(successor.adopt());
    CHECK(budget(a, BudgetKind::files).limit == 2000);
    for (const SettingText& setting : settings) {
        REQUIRE(successor.restore_setting(a, setting));
        CHECK(budget(a, BudgetKind::files).barrier == 1000);
        CHECK(budget(a, BudgetKind::files).limit == 2000);
    }
    host.published_.clear();
    successor.recover();
    CHECK(host.published_.contains({a, BudgetKind::files}));
    CHECK(host.published_.contains({below, BudgetKind::files}));  // or its row would be retired
    CHECK(budget(a, BudgetKind::files).limit == 2000);
    CHECK(budget(below, BudgetKind::files).limit == 512);
}

TEST_CASE_METHOD(Fixture, "2006: a group's tasks are its own, and a fork is refused with ENOSPC") {
    host.start(10, in(below)).threads = 4;
    host.start(11, in(a));
    CHECK(get(a, "numtasks.current") == "1");
    CHECK(get(a, "numtasks.processes") == "1");
    CHECK(get(below, "numtasks.current") == "4");
    CHECK(get(root, "numtasks.current") == "0");
    CHECK(get(a, "numtasks.peak") == "1");
    REQUIRE(
        put(a, {{"numtasks.limit", "5"}, {"numtasks.process_limit", "3"}, {"numtasks.forkrate", "7/1s"}}));
    CHECK(budget(a, BudgetKind::tasks).refuse_errno == ENOSPC);
    CHECK(budget(a, BudgetKind::processes).refuse_errno == ENOSPC);
    CHECK(budget(a, BudgetKind::tasks).rate_spends == wire::RateSpends::asked);
    CHECK(host.trees().counted_above(below) == GroupId{});
    CHECK(host.trees().counts_in(a, a));
    CHECK_FALSE(host.trees().counts_in(below, a));
}

TEST_CASE_METHOD(Fixture, "2006: calls are trapped where the group itself is limited") {
    using Traps = std::vector<wire::TrapClass>;
    CHECK(traps(root).empty());
    CHECK(traps(below) == Traps{wire::TrapClass::file});
    REQUIRE(put(a, {{"numtasks.limit", "5"}}));
    CHECK(traps(below) == Traps{wire::TrapClass::file});
    CHECK(traps(a).size() == 2);
    REQUIRE(put(below, {{"numfiles.barrier", "max"}, {"numfiles.limit", "max"}}));
    CHECK(traps(below).empty());
}

TEST_CASE_METHOD(Fixture, "2006: an arrival below raises no peak above") {
    test::FakeLog log;
    grouping::Participant* parts[] = {&set};
    TablePopulation people(host.trees(), *host.table_, host.threads_, nullptr);
    auto& one = host.start(12);
    auto& two = host.start(13);
    CHECK(grouping::place(host.trees(), parts, people, log, {{one.id(), two.id()}, {below}}).result());
    host.table_->mark_dead(one);
    CHECK(get(below, "numtasks.peak") == "2");
    CHECK(get(a, "numtasks.peak") == "0");
}

TEST_CASE_METHOD(Fixture, "2006: CPU time is the group's own, in milliseconds") {
    host.times_[a] = {.usage_ns = 99'000'000'000};
    host.own_times_[a] = {
        .usage_ns = 3'999'999, .user_ns = 2'000'000, .system_ns = 1'999'999, .estimated_ns = 1'000'000};
    CHECK(get(a, "cpuacct.usage") == "3");
    CHECK(get(a, "cpuacct.own_usage") == "3");
    CHECK(get(a, "cpuacct.user") == "2");
    CHECK(get(a, "cpuacct.system") == "1");
    CHECK(get(a, "cpuacct.estimated") == "1");
    REQUIRE(put(a, {{"cpuacct.mark", "now"}}));
    host.own_times_[a].usage_ns += 5'000'000;
    CHECK(get(a, "cpuacct.mark") == "3");
    CHECK(get(a, "cpuacct.since_mark") == "5");
}

TEST_CASE("a mark is of the moment, is no setting, and is there for a successor until the group goes") {
    test::FakeHost host;
    ControllerSet set(host.trees(), host);
    const auto tenant = *set.create_hierarchy("tenant", Words{"cpuacct", "numfiles"});
    const GroupId acme = *set.create_path(tenant, "/acme");
    const auto get = [&](ControllerSet& from, std::string_view name) {
        return format_value(*from.get(acme, name));
    };
    host.times_[acme] = {.usage_ns = 40};
    host.own_times_[acme] = {.usage_ns = 15};
    CHECK(get(set, "cpuacct.mark") == "0");
    CHECK(get(set, "cpuacct.since_mark") == "40");
    CHECK(get(set, "cpuacct.own_usage") == "15");
    const std::vector<SettingText> now{{"cpuacct.mark", "now"}};
    REQUIRE(set.set(acme, now));
    host.times_[acme].usage_ns = 47;
    CHECK(get(set, "cpuacct.usage") == "47");
    CHECK(get(set, "cpuacct.mark") == "40");
    CHECK(get(set, "cpuacct.since_mark") == "7");
    CHECK(set.settings_of(acme).empty());
    for (const char* wrong : {"0", "47", "then", ""}) {
        const std::vector<SettingText> slip{{"cpuacct.mark", wrong}};
        CHECK(set.set(acme, slip).error().code == EINVAL);
    }
    // A transaction that fails in the machine takes it back.
    host.table_full_ = true;
    CHECK_FALSE(set.set(acme, std::vector<SettingText>{{"cpuacct.mark", "now"}, {"numfiles.limit", "5"}}));
    CHECK(get(set, "cpuacct.mark") == "40");

    ControllerSet successor(host.trees(), host);
    REQUIRE(successor.adopt());
    CHECK(get(successor, "cpuacct.mark") == "40");
    CHECK(get(successor, "cpuacct.since_mark") == "7");

    // One that was killed in the middle of a transaction had moved the mark already.
    const auto before = successor.standing(acme, now);
    REQUIRE(successor.set(acme, now));
    ControllerSet next(host.trees(), host);
    REQUIRE(next.adopt());
    CHECK(get(next, "cpuacct.mark") == "47");
    CHECK(next.take_back(acme, now, before));
    CHECK(get(next, "cpuacct.mark") == "40");
    ControllerSet last(host.trees(), host);
    REQUIRE(last.adopt());
    CHECK(get(last, "cpuacct.mark") == "40");
    CHECK(last.take_back(acme, now, {}).error().code == EPROTO);  // nobody knows what it was
    CHECK(get(last, "cpuacct.mark") == "40");
    REQUIRE(last.remove_group(acme));
    CHECK(host.notes_.empty());
}

TEST_CASE("2006: an empty list of CPUs or nodes has nothing, and nobody can be there") {
    test::FakeHost host(4);
    host.nodes_ = base::CpuList::up_to(2);
    ControllerSet set(host.trees(), host);
    const auto old = *set.create_hierarchy("old", Words{"cpuset", "memset"}, Compat::year_2006);
    const GroupId root = host.trees().hierarchy(old)->root;
    const GroupId a = *set.create_path(old, "/a");
    const GroupId below = *set.create_path(old, "/a/below");
    const auto put = [&](GroupId id, std::string name, std::string value) {
        return set.set(id, std::vector<SettingText>{{std::move(name), std::move(value)}});
    };
    const auto start = [&](GroupId id) {
        grouping::Places places{};
        places[old.value] = id;
        return set.can_start(places);
    };
    test::FakeLog log;
    grouping::Participant* parts[] = {&set};
    TablePopulation people(host.trees(), *host.table_, host.threads_, nullptr);
    auto& process = host.start(10);
    const auto attach = [&](GroupId id) {
        return grouping::place(host.trees(), parts, people, log, {{process.id()}, {id}}).result();
    };

    CHECK(start(root));
    CHECK(attach(a).error().code == ENOSPC);
    CHECK(start(a).error().message() ==
          "cpuset.cpus of old:/a is empty: with compat = \"2006\" nobody can be in it; set it first, or "
          "group.clone_children above");
    CHECK(put(below, "cpuset.cpus", "1").error().code == EACCES);
    CHECK(put(below, "memset.mems", "1").error().code == EACCES);
    REQUIRE(put(a, "cpuset.cpus", "1-2"));
    CHECK(start(a).error().code == ENOSPC);
    REQUIRE(put(a, "memset.mems", "1"));
    CHECK(start(a));
    CHECK(attach(a));
    CHECK(host.mask(10) == "1-2");
    CHECK(put(a, "cpuset.cpus", "").error().code == ENOSPC);
    CHECK(put(a, "memset.mems", "").error().code == ENOSPC);
    CHECK(attach(root));
    REQUIRE(put(below, "cpuset.cpus", "1"));
    REQUIRE(put(below, "memset.mems", "1"));
    CHECK(put(a, "cpuset.cpus", "").error().code == EBUSY);
    CHECK(put(a, "memset.mems", "").error().code == EBUSY);
    REQUIRE(put(below, "cpuset.cpus", ""));
    CHECK(put(a, "cpuset.cpus", ""));
    // A copy is not empty.
    REQUIRE(put(a, "cpuset.cpus", "0"));
    REQUIRE(put(a, "group.clone_children", "true"));
    CHECK(start(*set.create_path(old, "/a/copy")));
}
