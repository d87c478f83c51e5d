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

TEST_CASE_METHOD(Fixture, "what is refused") {
    CHECK(put(web, "numtasks.limit", "many").error().message() ==
          "numtasks.limit: expected a whole number or \"max\", got 'many'");
    CHECK(put(web, "numtasks.current", "1").error().code == EACCES);
    host.table_full_ = true;
    CHECK(put(web, "numtasks.limit", "5").error().code == ENOSPC);
    CHECK(get(web, "numtasks.limit") == "max");
}

TEST_CASE_METHOD(Fixture, "cpuacct shows the books and cannot be written") {
    host.times_[acme] = {.usage_ns = 30, .user_ns = 20, .system_ns = 10, .estimated_ns = 7};
    CHECK(get(acme, "cpuacct.usage") == "30");
    CHECK(get(acme, "cpuacct.user") == "20");
    CHECK(get(acme, "cpuacct.system") == "10");
    CHECK(get(acme, "cpuacct.estimated") == "7");
    CHECK(put(acme, "cpuacct.usage", "0").error().message() == "cpuacct.usage can only be read");
}
