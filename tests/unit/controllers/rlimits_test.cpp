#include "controllers/rlimits.h"

#include <catch2/catch.hpp>

#include <sys/resource.h>

#include "controllers/fake_host.h"

using namespace gpcsup;
using namespace gpcsup::controllers;
using namespace std::chrono_literals;
using grouping::GroupId;
using Limit = Host::Limit;

namespace {

constexpr std::uint64_t infinity = Limit::unlimited;

struct Limited {
    test::FakeHost host;
    ControllerSet set{host.trees(), host};
    grouping::HierarchyId tenant = *set.create_hierarchy("tenant", std::vector<std::string>{"rlimits"});
    GroupId root = host.forest().hierarchy(tenant)->root;
    GroupId acme = *set.create_path(tenant, "/acme");
    GroupId web = *set.create_path(tenant, "/acme/web");
    GroupId other = *set.create_path(tenant, "/other");
    test::FakeLog log;

    Limited() { host.start_limits_[RLIMIT_NOFILE] = {1024, 4096}; }
    base::Result<> put(GroupId id, std::vector<SettingText> settings) { return set.set(id, settings); }
    base::Result<> files(GroupId id, std::string text) {
        return put(id, {{"rlimits.nofile", std::move(text)}});
    }
    std::string get(GroupId id, std::string_view name) { return format_value(*set.get(id, name)); }
    processes::Process& member(pid_t pid, GroupId id) {
        grouping::Places places = host.forest().places({});
        places[tenant.value] = id;
        return host.start(pid, host.trees().intern(places));
    }
    Limit& of(const processes::Process& process, int resource = RLIMIT_NOFILE) {
        return host.limits_of(process.id())[static_cast<std::size_t>(resource)];
    }
    base::Result<> move(const processes::Process& process, GroupId to) {
        grouping::Participant* parts[] = {&set};
        TablePopulation people(host.trees(), *host.table_, host.threads_, nullptr);
        return grouping::place(host.trees(), parts, people, log, {{process.id()}, {to}}).result();
    }
};

}  // namespace

TEST_CASE_METHOD(Limited, "how limits are written") {
    struct Row {
        const char* name;
        const char* text;
        const char* shown;  // or the error
    };
    const Row rows[] = {
        {"rlimits.nofile", "64", "64:64"},
        {"rlimits.nofile", "64:128", "64:128"},
        {"rlimits.nofile", " 64 : infinity ", "64:infinity"},
        {"rlimits.nofile", "max", "max"},
        {"rlimits.nofile", "infinity", "max"},
        {"rlimits.core", "0", "0:0"},
        {"rlimits.memlock", "64K:1M", "65536:1048576"},
        {"rlimits.as", "2G:infinity", "2147483648:infinity"},
        {"rlimits.nofile", "64K",
         "rlimits.nofile: expected a limit like \"1024\" or \"1024:4096\", or \"max\", got "
         "'64K'; it is a number and has no unit"},
        {"rlimits.nofile", "65:64",
         "rlimits.nofile: expected a limit like \"1024\" or \"1024:4096\", or \"max\", got "
         "'65:64'; the soft limit is in front, and not above the hard one"},
        {"rlimits.as", "99999999999T",
         "rlimits.as: expected a limit like \"64M\" or \"64M:infinity\", or \"max\", got "
         "'99999999999T'; the number is too big"},
        {"rlimits.as", "18446744073709551615",
         "rlimits.as: expected a limit like \"64M\" or \"64M:infinity\", or "
         "\"max\", got '18446744073709551615'; the number is too big"},
        {"rlimits.as", "-1",
         "rlimits.as: expected a limit like \"64M\" or \"64M:infinity\", or \"max\", got '-1'; no "
         "limit is written \"infinity\""},
        {"rlimits.as", ":",
         "rlimits.as: expected a limit like \"64M\" or \"64M:infinity\", or \"max\", got ':'; no "
         "limit is written \"infinity\""},
    };
    for (const Row& row : rows) {
        const auto done = put(acme, {{row.name, row.text}});
        CHECK((done ? get(acme, row.name) : done.error().message()) == row.shown);
    }
    CHECK(files(root, "64").error().message() ==
          "rlimits.nofile of tenant:/ is the machine's and cannot be set; make a group below it");
}

TEST_CASE_METHOD(Limited, "the tightest on the way up holds, and nobody is given more than he has") {
    auto& ordinary = member(10, web);
    auto& modest = member(11, web);
    of(modest) = {100, 200};
    CHECK(files(acme, "512:2048"));
    CHECK(of(ordinary) == Limit{512, 2048});
    CHECK(of(modest) == Limit{100, 200});
    CHECK(files(web, "64:infinity"));
    CHECK(of(ordinary) == Limit{64, 2048});
    CHECK(of(modest) == Limit{64, 200});
    CHECK(files(acme, "32"));
    CHECK(of(ordinary) == Limit{32, 32});
    CHECK(files(acme, "max"));
    CHECK(of(ordinary) == Limit{64, 4096});
    CHECK(of(modest) == Limit{64, 200});
    CHECK(files(web, "max"));
    CHECK(of(ordinary) == Limit{1024, 4096});
    CHECK(of(modest) == Limit{100, 200});
    CHECK(ordinary.past_limits == 0);
}

TEST_CASE_METHOD(Limited, "who comes is limited, who leaves has what he had, but for what he chose himself") {
    CHECK(files(acme, "512:2048"));
    auto& process = member(10, root);
    auto& chooser = member(11, root);
    CHECK(move(process, web));
    CHECK(move(chooser, web));
    CHECK(of(process) == Limit{512, 2048});
    of(chooser).soft = 300;
    CHECK(move(process, other));
    CHECK(move(chooser, other));
    CHECK(of(process) == Limit{1024, 4096});
    CHECK(of(chooser) == Limit{300, 4096});
    host.forbidden_ = {10};
    CHECK_FALSE(move(process, acme));
    CHECK(host.processes().place(process, tenant) == other);
}

TEST_CASE_METHOD(Limited, "a hard limit that may not be raised stays, and the soft one is raised up to it") {
    auto& process = member(10, web);
    host.may_raise_ = false;
    CHECK(files(acme, "64:512"));
    CHECK(files(acme, "max"));
    CHECK(of(process) == Limit{512, 512});
    CHECK(files(acme, "64:infinity"));  // only soft: all of it comes back
    CHECK(of(process) == Limit{64, 512});
    CHECK(files(acme, "max"));
    CHECK(of(process) == Limit{512, 512});
}

TEST_CASE_METHOD(Limited, "a member that cannot be limited undoes the whole") {
    auto& first = member(10, web);
    member(11, web);
    host.forbidden_ = {11};
    const auto refused = files(acme, "64");
    REQUIRE_FALSE(refused);
    CHECK(refused.error().code == EPERM);
    CHECK(get(acme, "rlimits.nofile") == "max");
    CHECK(of(first) == Limit{1024, 4096});
}

TEST_CASE_METHOD(Limited,
                 "what is started in a limited group is born so, and gets back what it would have had") {
    CHECK(put(acme, {{"rlimits.nofile", "256:9000"}, {"rlimits.core", "0"}}));
    grouping::Places places = host.forest().places({});
    places[tenant.value] = web;
    const Birth birth = set.birth(places);
    REQUIRE(birth.limits.size() == 2);
    CHECK(birth.limits[0].resource == RLIMIT_CORE);
    CHECK(birth.limits[0].hard == 0);
    CHECK((birth.limits[1].soft == 256 && birth.limits[1].hard == 4096));
    auto& started = member(10, web);
    set.born(started);
    CHECK(host.limit_calls_ == 0);  // gpc-exec is at it
    of(started) = {256, 4096};
    of(started, RLIMIT_CORE) = {0, 0};
    auto& child = member(11, web);
    host.limits_of(child.id()) = host.limits_of(started.id());
    set.forked(started, child);
    CHECK(put(acme, {{"rlimits.nofile", "max"}, {"rlimits.core", "max"}}));
    for (const auto* process : {&started, &child}) {
        CHECK(of(*process) == Limit{1024, 4096});
        CHECK(of(*process, RLIMIT_CORE) == Limit{infinity, infinity});
    }
    CHECK(set.birth(places).limits.empty());
}

TEST_CASE_METHOD(Limited, "a child that was forked just before its parent was limited is limited, too") {
    auto& parent = member(10, web);
    CHECK(files(acme, "64"));
    auto& child = member(11, web);  // still with the limits of before
    set.forked(parent, child);
    CHECK(of(child) == Limit{64, 64});
    host.now_ += 3s;
    auto& later = member(12, web);
    set.forked(parent, later);
    CHECK(host.limit_calls_ == 2);  // nothing is looked at any more
}

TEST_CASE_METHOD(Limited,
                 "after a restart members that a set had reached before it was cut off get theirs back") {
    auto& reached = member(10, web);
    auto& wishes = member(11, web);
    of(wishes) = {64, 4096};  // which happens to be the soft limit that was tried
    auto& missed = member(12, web);
    const auto tried = [](std::string text) {
        return std::vector<SettingText>{{"rlimits.nofile", std::move(text)}};
    };
    ControllerSet successor(host.trees(), host);
    std::string before = "max";
    SECTION("where there was no limit") {}
    SECTION("where there was one") {
        before = "512:2048";
        CHECK(files(acme, before));
    }
    const Limit given = of(missed);
    const Limit wished = of(wishes);
    CHECK(files(acme, "64:1024"));
    of(missed) = given;  // as if the set had not come to it
    if (before == "max") {
        missed.past_limits = 0;
    }
    CHECK(successor.adopt());
    if (before != "max") {
        CHECK(successor.restore_setting(acme, tried(before)[0]));
    }
    successor.recover();
    CHECK(successor.take_back(acme, tried("64:1024"), {}));
    CHECK(format_value(*successor.get(acme, "rlimits.nofile")) == before);
    CHECK(of(reached) == given);
    CHECK(of(missed) == given);
    CHECK(of(wishes) == wished);
}

TEST_CASE_METHOD(Limited, "after a restart nothing changes but what was left half done") {
    auto& process = member(10, web);
    CHECK(files(acme, "64:2048"));
    auto& missed = member(11, web);
    host.limit_calls_ = 0;
    ControllerSet successor(host.trees(), host);
    CHECK(successor.adopt());
    CHECK(successor.restore_setting(acme, {"rlimits.nofile", "64:2048"}));
    CHECK(host.limit_calls_ == 0);
    successor.recover();
    CHECK(host.limit_calls_ == 1);
    CHECK(of(missed) == Limit{64, 2048});
    CHECK(successor.set(acme, std::vector<SettingText>{{"rlimits.nofile", "max"}}));
    CHECK(of(process) == Limit{1024, 4096});
    CHECK(of(missed) == Limit{1024, 4096});
}
