#include "controllers/numfiles.h"

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
    grouping::HierarchyId tenant = *set.create_hierarchy("tenant", std::vector<std::string>{"numfiles"});
    GroupId acme = *set.create_path(tenant, "/acme");
    GroupId web = *set.create_path(tenant, "/acme/web");

    base::Result<> put(GroupId id, std::vector<SettingText> settings) { return set.set(id, settings); }
    std::string get(GroupId id, std::string_view name) { return format_value(*set.get(id, name)); }
    test::FakeHost::Budget& budget(GroupId id) { return host.budgets_[{id, BudgetKind::files}]; }
};

}  // namespace

TEST_CASE_METHOD(Fixture, "barrier and limit go to gpc-enforce together, and refuse with EMFILE") {
    CHECK(get(acme, "numfiles.barrier") == "max");
    CHECK(host.budgets_.empty());
    CHECK(put(acme, {{"numfiles.barrier", "256"}, {"numfiles.limit", "512"}}));
    CHECK(budget(acme).barrier == 256);
    CHECK(budget(acme).limit == 512);
    CHECK(budget(acme).refuse_errno == EMFILE);
    budget(acme).failcnt = 3;
    CHECK(get(acme, "numfiles.failcnt") == "3");
    CHECK(put(acme, {{"numfiles.barrier", "max"}, {"numfiles.limit", "max"}}));
    CHECK(get(acme, "numfiles.failcnt") == "3");
    CHECK(set.remove_group(web));
    CHECK(set.remove_group(acme));
    CHECK(host.budgets_.empty());
}

TEST_CASE_METHOD(Fixture, "a barrier above its limit is refused, whichever of the two was to change") {
    CHECK(put(acme, {{"numfiles.barrier", "10"}, {"numfiles.limit", "20"}}));
    for (const auto& wrong : {SettingText{"numfiles.limit", "5"}, SettingText{"numfiles.barrier", "21"}}) {
        const auto refused = put(acme, {wrong});
        REQUIRE_FALSE(refused.has_value());
        CHECK(refused.error().code == EINVAL);
    }
    CHECK(get(acme, "numfiles.barrier") == "10");
    CHECK(get(acme, "numfiles.limit") == "20");
    // In one transaction, in any order.
    CHECK(put(acme, {{"numfiles.limit", "5"}, {"numfiles.barrier", "5"}}));
    CHECK(put(acme, {{"numfiles.barrier", "40"}, {"numfiles.limit", "50"}}));
    CHECK(budget(acme).barrier == 40);
    for (const char* fixed : {"numfiles.held", "numfiles.maxheld", "numfiles.minheld", "numfiles.failcnt"}) {
        CHECK_FALSE(put(acme, {{fixed, "1"}}));
    }
}

TEST_CASE_METHOD(Fixture, "the low water is of what was held, not of the time before anything was") {
    CHECK(get(acme, "numfiles.minheld") == "0");
    host.files_[acme] = 7;
    CHECK(get(acme, "numfiles.minheld") == "7");
    host.files_[acme] = 12;
    CHECK(get(acme, "numfiles.held") == "12");
    CHECK(get(acme, "numfiles.maxheld") == "12");
    CHECK(get(acme, "numfiles.minheld") == "7");
    host.files_[acme] = 5;
    CHECK(get(acme, "numfiles.minheld") == "5");
    CHECK(get(acme, "numfiles.maxheld") == "12");
    host.files_[acme] = 0;
    CHECK(get(acme, "numfiles.minheld") == "0");
}

TEST_CASE_METHOD(Fixture, "calls are trapped below a limited group only") {
    const auto traps = [&](GroupId group) {
        grouping::Places places{};
        places[tenant.value] = group;
        return set.birth(places).traps;
    };
    CHECK(traps(web).empty());
    CHECK(put(acme, {{"numfiles.limit", "100"}}));
    CHECK(traps(web) == std::vector<wire::TrapClass>{wire::TrapClass::file});
    CHECK(put(acme, {{"numfiles.limit", "max"}}));
    CHECK(traps(web).empty());
    CHECK(put(web, {{"numfiles.barrier", "10"}}));
    CHECK(traps(web) == std::vector<wire::TrapClass>{wire::TrapClass::file});
    CHECK(traps(acme).empty());
}

TEST_CASE_METHOD(Fixture, "a group whose files are open elsewhere is kept, dying, until they are closed") {
    host.kept_open_[web] = 2;
    host.files_look_due_();
    CHECK(set.remove_group(web));
    REQUIRE(host.forest().group(web) != nullptr);
    CHECK(host.forest().group(web)->dying);
    host.kept_open_.clear();
    host.files_look_due_();
    CHECK((host.forest().group(web) == nullptr || host.forest().group(web)->holders.empty()));
}
