#include "controllers/numtasks.h"

#include <catch2/catch.hpp>

#include "controllers/fake_host.h"

using namespace gpcsup;
using namespace gpcsup::controllers;
using grouping::GroupId;
using wire::BudgetKind;

namespace {

struct Fixture {
    test::FakeHost host;
    ControllerSet set{host.trees(), host};
    grouping::HierarchyId tenant =
        *set.create_hierarchy("tenant", std::vector<std::string>{"numtasks", "cpuacct"});
    GroupId acme = *set.create_path(tenant, "/acme");
    GroupId web = *set.create_path(tenant, "/acme/web");

    base::Result<> put(GroupId id, std::string name, std::string value) {
        return set.set(id, std::vector<SettingText>{{std::move(name), std::move(value)}});
    }
    std::string get(GroupId id, std::string_view name) { return format_value(*set.get(id, name)); }
    grouping::Places at(GroupId id) {
        grouping::Places places{};
        places[tenant.value] = id;
        return places;
    }
};

}  // namespace

TEST_CASE_METHOD(Fixture, "a finite limit is published, and stays published when it is lifted") {
    CHECK(get(acme, "numtasks.limit") == "max");
    CHECK(host.budgets_.empty());
    CHECK(put(acme, "numtasks.limit", "16"));
    REQUIRE(host.budgets_.contains({acme, BudgetKind::tasks}));
    CHECK(host.budgets_[{acme, BudgetKind::tasks}].limit == 16);
    CHECK(host.budgets_[{acme, BudgetKind::tasks}].refuse_errno == EAGAIN);
    host.budgets_[{acme, BudgetKind::tasks}].failcnt = 5;
    CHECK(put(acme, "numtasks.limit", "max"));
    CHECK(host.budgets_[{acme, BudgetKind::tasks}].limit == wire::unlimited);
    CHECK(get(acme, "numtasks.failcnt") == "5");
    CHECK(get(acme, "numtasks.limit") == "max");
    CHECK(put(acme, "numtasks.limit", "0"));  // as in pids: no fork at all
    CHECK(get(acme, "numtasks.limit") == "0");
    CHECK(set.remove_group(web));
    CHECK(set.remove_group(acme));
    CHECK(host.budgets_.empty());
}

TEST_CASE_METHOD(Fixture, "processes are limited apart from tasks") {
    CHECK(put(web, "numtasks.process_limit", "3"));
    CHECK(host.budgets_[{web, BudgetKind::processes}].limit == 3);
    CHECK_FALSE(host.budgets_.contains({web, BudgetKind::tasks}));
    CHECK(get(web, "numtasks.process_limit") == "3");
}

TEST_CASE_METHOD(Fixture, "counts are hierarchical, threads count, moves and lowered limits may be over") {
    const auto inside = host.trees().intern(at(web));
    host.start(10, inside).threads = 4;
    host.start(11, host.trees().intern(at(acme)));
    CHECK(get(acme, "numtasks.current") == "5");
    CHECK(get(acme, "numtasks.processes") == "2");
    CHECK(get(web, "numtasks.current") == "4");
    CHECK(get(acme, "numtasks.peak") == "5");
    CHECK(get(web, "numtasks.peak") == "4");
    CHECK(put(acme, "numtasks.limit", "1"));
    test::FakeLog log;
    grouping::Participant* parts[] = {&set};
    TablePopulation people(host.trees(), *host.table_, host.threads_, nullptr);
    auto& late = host.start(12);
    CHECK(grouping::place(host.trees(), parts, people, log, {{late.id()}, {web}}).result());
    CHECK(get(acme, "numtasks.current") == "6");
}

TEST_CASE_METHOD(Fixture, "the peak is that of every arrival, also when nobody looks") {
    const auto inside = host.trees().intern(at(web));
    auto& first = host.start(10, inside);
    set.born(first);
    auto& second = host.start(11, inside, 10);
    set.forked(first, second);
    host.table_->erase(second);
    CHECK(get(web, "numtasks.current") == "1");
    CHECK(get(web, "numtasks.peak") == "2");
    CHECK(get(acme, "numtasks.peak") == "2");
}

TEST_CASE_METHOD(Fixture, "what was counted outlives a restart, also where the limit has been lifted") {
    REQUIRE(put(acme, "numtasks.limit", "16"));
    REQUIRE(put(acme, "numtasks.limit", "max"));
    REQUIRE(put(web, "numtasks.process_limit", "7"));
    host.budgets_[{acme, BudgetKind::tasks}].failcnt = 5;
    const auto inside = host.trees().intern(at(web));
    for (const pid_t pid : {10, 11, 12}) {
        set.born(host.start(pid, inside));
    }
    for (const pid_t pid : {11, 12}) {
        host.table_->erase(*host.table_->find(pid));
    }
    host.budgets_[{web, BudgetKind::tasks}].limit = 1;  // killed between the row and the journal

    ControllerSet successor{host.trees(), host};
    REQUIRE(successor.adopt());
    for (const SettingText& setting : set.settings_of(web)) {
        REQUIRE(successor.restore_setting(web, setting));
    }
    host.published_.clear();
    successor.recover();
    const auto now = [&](GroupId id, std::string_view name) {
        return format_value(*successor.get(id, name));
    };
    CHECK(host.published_ ==
          std::set<std::pair<GroupId, BudgetKind>>{{acme, BudgetKind::tasks}, {web, BudgetKind::tasks}});
    CHECK(host.budgets_[{web, BudgetKind::tasks}].limit == wire::unlimited);
    CHECK(now(acme, "numtasks.failcnt") == "5");
    CHECK(now(acme, "numtasks.limit") == "max");
    CHECK(now(acme, "numtasks.peak") == "3");
    CHECK(now(web, "numtasks.peak") == "3");
    CHECK(now(web, "numtasks.process_limit") == "7");
    CHECK(now(web, "numtasks.current") == "1");
}

TEST_CASE_METHOD(Fixture, "a rate of forks is published beside the limit, and outlives a restart") {
    CHECK(get(acme, "numtasks.forkrate") == "max");
    CHECK(put(acme, "numtasks.forkrate", "max"));
    CHECK(host.budgets_.empty());
    CHECK(put(acme, "numtasks.forkrate", "100/1s"));
    test::FakeHost::Budget& row = host.budgets_.at({acme, BudgetKind::tasks});
    CHECK(row.limit == wire::unlimited);
    CHECK(row.rate.count == 100);
    CHECK(row.rate.window_ns == 1'000'000'000);
    CHECK(get(acme, "numtasks.forkrate") == "100/1s");
    CHECK(set.birth(at(web)).traps == std::vector{wire::TrapClass::task});
    CHECK(put(acme, "numtasks.limit", "7"));
    CHECK(row.rate.count == 100);
    row.failcnt = 3;
    row.rate_failcnt = 50;
    CHECK(get(acme, "numtasks.failcnt") == "3");
    CHECK(get(acme, "numtasks.forkrate_failcnt") == "50");
    CHECK(get(web, "numtasks.forkrate_failcnt") == "0");
    row.rate = {1, 1};  // killed between the row and the journal
    ControllerSet successor{host.trees(), host};
    REQUIRE(successor.adopt());
    successor.recover();
    CHECK(row.rate.count == wire::unlimited);
    CHECK(put(acme, "numtasks.forkrate", "max"));
    CHECK(row.rate.count == wire::unlimited);
    CHECK(row.limit == 7);
    CHECK_FALSE(put(acme, "numtasks.forkrate", "100"));
}

TEST_CASE_METHOD(Fixture, "forks are trapped only where a limit is finite on the way up") {
    CHECK(set.birth(at(web)).traps.empty());
    CHECK(put(acme, "numtasks.limit", "16"));
    CHECK(set.birth(at(web)).traps == std::vector{wire::TrapClass::task});
    CHECK(set.birth(at(host.trees().hierarchy(tenant)->root)).traps.empty());
    CHECK(put(acme, "numtasks.limit", "max"));
    CHECK(set.birth(at(web)).traps.empty());
    CHECK(put(web, "numtasks.process_limit", "3"));
    CHECK(set.birth(at(web)).traps == std::vector{wire::TrapClass::task});
}

// The documented examples: with a divisor of the total, shares are numbers of tasks.
TEST_CASE_METHOD(Fixture, "shares are parts of what the parent has, and follow it") {
    const GroupId root = host.forest().hierarchy(tenant)->root;
    const GroupId other = *set.create_path(tenant, "/other");
    const auto row = [&](GroupId id) { return host.budgets_[{id, BudgetKind::tasks}]; };
    CHECK(get(acme, "numtasks.min_shares") == "0");
    CHECK(get(acme, "numtasks.max_shares") == "max");
    CHECK(get(acme, "numtasks.child_shares_divisor") == "100");
    CHECK(put(root, "numtasks.child_shares_divisor", "1000"));
    CHECK(set.set(acme,
                  std::vector<SettingText>{{"numtasks.min_shares", "250"}, {"numtasks.max_shares", "500"}}));
    CHECK(get(acme, "numtasks.min_shares") == "250");
    CHECK(get(acme, "numtasks.max_shares") == "500");
    CHECK(get(acme, "numtasks.child_shares_divisor") == "100");
    // Parts of nothing, until the root has a limit.
    CHECK(host.budgets_.empty());
    CHECK(set.birth(at(acme)).traps.empty());
    CHECK(put(root, "numtasks.limit", "1000"));
    CHECK(set.birth(at(acme)).traps == std::vector{wire::TrapClass::task});
    CHECK(row(acme).limit == 500);
    CHECK(row(acme).guarantee == 250);
    CHECK(get(acme, "numtasks.effective_limit") == "500");
    CHECK(get(acme, "numtasks.guarantee") == "250");
    CHECK(get(acme, "numtasks.limit") == "max");
    // A child's guarantee is a part of its parent's.
    CHECK(
        set.set(web, std::vector<SettingText>{{"numtasks.min_shares", "20"}, {"numtasks.max_shares", "30"}}));
    CHECK(row(web).guarantee == 50);
    CHECK(row(web).limit == 150);
    CHECK(put(root, "numtasks.limit", "100"));
    CHECK(row(acme).limit == 50);
    CHECK(row(web).limit == 15);
    CHECK(row(web).guarantee == 5);
    // The lower of both, and no more guaranteed than that.
    CHECK(put(acme, "numtasks.limit", "20"));
    CHECK(row(acme).limit == 20);
    CHECK(row(acme).guarantee == 20);
    CHECK(row(web).limit == 6);
    CHECK(put(acme, "numtasks.min_shares", "0"));
    CHECK(row(acme).guarantee == 0);
    CHECK(row(web).guarantee == 4);  // of the 20 that acme may have
    CHECK(put(root, "numtasks.limit", "max"));
    CHECK(put(acme, "numtasks.limit", "max"));
    CHECK(row(acme).limit == wire::unlimited);
    CHECK(row(web).limit == wire::unlimited);
    CHECK(row(web).guarantee == 0);
    CHECK_FALSE(host.budgets_.contains({other, BudgetKind::tasks}));
}

TEST_CASE_METHOD(Fixture, "shares that cannot be are refused whole") {
    const GroupId root = host.forest().hierarchy(tenant)->root;
    const GroupId other = *set.create_path(tenant, "/other");
    const auto refusal = [&](GroupId id, std::vector<SettingText> settings) {
        const auto done = set.set(id, settings);
        return done ? std::string() : done.error().message();
    };
    CHECK(put(other, "numtasks.min_shares", "70"));
    CHECK(
        refusal(acme, {{"numtasks.min_shares", "31"}}) ==
        "min_shares 31 is more than is left of the parent's child_shares_divisor 100; its other children are "
        "guaranteed 70");
    CHECK(put(acme, "numtasks.min_shares", "30"));
    CHECK(refusal(acme, {{"numtasks.max_shares", "101"}}) ==
          "max_shares 101 is more than all of the parent's child_shares_divisor 100");
    CHECK(refusal(acme, {{"numtasks.max_shares", "29"}}) == "min_shares 30 is above max_shares 29");
    CHECK(refusal(acme, {{"numtasks.max_shares", "20"}, {"numtasks.min_shares", "10"}}).empty());
    CHECK(refusal(root, {{"numtasks.child_shares_divisor", "79"}}) ==
          "child_shares_divisor 79 is less than the children are guaranteed; the sum of their min_shares is "
          "80");
    CHECK(refusal(acme, {{"numtasks.max_shares", "90"}}).empty());
    CHECK(refusal(root, {{"numtasks.child_shares_divisor", "85"}}) ==
          "child_shares_divisor 85 is less than the max_shares of a child; one of them has 90");
    CHECK(refusal(root, {{"numtasks.child_shares_divisor", "0"}}) ==
          "child_shares_divisor 0 is not from 1 to 1000000000");
    CHECK(refusal(root, {{"numtasks.min_shares", "1"}}) ==
          "numtasks.min_shares of tenant:/ cannot be set: the root is no part of another group; its "
          "numtasks.limit "
          "is what the groups below share");
    CHECK(get(acme, "numtasks.max_shares") == "90");
    CHECK(get(acme, "numtasks.min_shares") == "10");
    host.table_full_ = true;
    CHECK_FALSE(refusal(root, {{"numtasks.limit", "100"}}).empty());
    host.table_full_ = false;
    CHECK(get(root, "numtasks.limit") == "max");
    CHECK(get(acme, "numtasks.guarantee") == "0");
}

TEST_CASE("a part is rounded down, and nothing overflows") {
    CHECK(part_of(1000, 250, 1000) == 250);
    CHECK(part_of(7, 50, 100) == 3);
    CHECK(part_of(UINT64_MAX - 1, most_shares, most_shares) == UINT64_MAX - 1);
    CHECK(part_of(UINT64_MAX - 1, 1, most_shares) == (UINT64_MAX - 1) / most_shares);
    CHECK(part_of(UINT64_MAX, 1, 2) == UINT64_MAX);
    CHECK(part_of(5, no_ceiling, 100) == UINT64_MAX);
}

TEST_CASE_METHOD(Fixture, "what is refused") {
    CHECK(put(web, "numtasks.limit", "many").error().message() ==
          "numtasks.limit: expected a whole number or \"max\", got 'many'");
    CHECK(put(web, "numtasks.current", "1").error().code == EACCES);
    host.table_full_ = true;
    CHECK(put(web, "numtasks.limit", "5").error().code == ENOSPC);
    CHECK(get(web, "numtasks.limit") == "max");
}

TEST_CASE_METHOD(Fixture, "load is of the last whole slot, and nobody is woken up for what nobody reads") {
    using namespace std::chrono_literals;
    host.advance_to(103s);
    CHECK(host.calls_.empty());
    CHECK(get(acme, "cpuacct.load") == "0");
    REQUIRE(host.calls_.contains("cpuacct"));
    CHECK(host.calls_["cpuacct"].first == 110s);
    host.times_[acme].usage_ns = 5'000'000'000;  // before its first whole slot
    host.advance_to(112s);
    CHECK(get(acme, "cpuacct.load") == "0");
    host.times_[acme].usage_ns += 15'000'000'000;  // one and a half CPUs
    host.advance_to(119s);
    CHECK(get(acme, "cpuacct.load") == "0");
    host.advance_to(121s);
    CHECK(get(acme, "cpuacct.load") == "150");
    host.times_[acme].usage_ns += 4'960'000'000;
    host.advance_to(131s);
    CHECK(get(acme, "cpuacct.load") == "50");
    host.advance_to(141s);
    CHECK(get(acme, "cpuacct.load") == "0");
    host.advance_to(1000s);
    CHECK(host.calls_.empty());
    CHECK(get(acme, "cpuacct.load") == "0");
    CHECK_FALSE(put(acme, "cpuacct.load", "0"));
    CHECK(set.remove_group(web));
    CHECK(set.remove_group(acme));
    host.advance_to(2000s);
    CHECK(host.calls_.empty());
}

TEST_CASE_METHOD(Fixture, "cpuacct shows the books and cannot be written") {
    host.times_[acme] = {.usage_ns = 30, .user_ns = 20, .system_ns = 10, .estimated_ns = 7};
    CHECK(get(acme, "cpuacct.usage") == "30");
    CHECK(get(acme, "cpuacct.user") == "20");
    CHECK(get(acme, "cpuacct.system") == "10");
    CHECK(get(acme, "cpuacct.estimated") == "7");
    CHECK(put(acme, "cpuacct.usage", "0").error().message() == "cpuacct.usage can only be read");
}
