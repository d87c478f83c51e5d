#include "controllers/memory.h"

#include <catch2/catch.hpp>

#include "controllers/fake_host.h"

using namespace gpcsup;
using namespace gpcsup::controllers;
using namespace std::chrono_literals;
using grouping::GroupId;

namespace {

struct Sampled {
    test::FakeHost host;
    ControllerSet set{host.trees(), host};
    grouping::HierarchyId tenant = *set.create_hierarchy("tenant", std::vector<std::string>{"memory"});
    GroupId acme = *set.create_path(tenant, "/acme");
    GroupId other = *set.create_path(tenant, "/other");

    std::string get(GroupId id, std::string_view name) { return format_value(*set.get(id, name)); }
};

}  // namespace

TEST_CASE_METHOD(Sampled, "what is asked for together is one sample, and a later question another") {
    host.memory_[acme] = {.rss = 5000, .pss = 3000, .estimated = 1000, .unread = 2};
    CHECK(get(acme, "memory.rss") == "5000");
    host.memory_[acme] = {.rss = 4000, .pss = 2500};
    CHECK(get(acme, "memory.pss") == "3000");
    CHECK(get(acme, "memory.estimated") == "1000");
    CHECK(get(acme, "memory.unread") == "2");
    CHECK(host.budgets_of_time_.size() == 1);
    host.now_ += 100ms;
    CHECK(get(acme, "memory.rss") == "4000");
    CHECK(get(acme, "memory.peak_rss") == "5000");
    CHECK(get(acme, "memory.unread") == "0");
    CHECK(host.budgets_of_time_.size() == 2);
}

TEST_CASE_METHOD(Sampled, "who asks on and on gets a quarter of the time, and no look is long") {
    CHECK(get(acme, "memory.rss") == "0");
    CHECK(get(other, "memory.rss") == "0");  // at once
    host.now_ += 100ms;
    CHECK(get(acme, "memory.rss") == "0");
    host.now_ += 10s;
    CHECK(get(other, "memory.rss") == "0");
    CHECK(host.budgets_of_time_ == std::vector<std::chrono::nanoseconds>{50ms, 4ms, 25ms, 50ms});
}

TEST_CASE_METHOD(Sampled, "memory is only read") {
    const auto refused = set.set(acme, std::vector<SettingText>{{"memory.rss", "1"}});
    REQUIRE_FALSE(refused);
    CHECK(refused.error().code == EACCES);
    CHECK(refused.error().message() == "memory.rss can only be read");
}
