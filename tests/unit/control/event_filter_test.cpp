// Which events a filter lets through.

#include <algorithm>
#include <catch2/catch.hpp>
#include <cerrno>
#include <string>

#include "control/event_filter.h"
#include "control/event_names.h"

using namespace gpcsup;
using control::EventFilter;

namespace {

const std::string unit_event = R"({"seq":1,"event":"unit-active","unit":"web"})";
const std::string group_event = R"({"seq":2,"event":"group-empty","group":"tenant:/acme/web"})";
const std::string moved_event =
    R"({"seq":3,"event":"attached","moved":[{"pid":7,"place":{"compute":"/batch/a"}}]})";

}  // namespace

TEST_CASE("a filter without anything lets all through") {
    const EventFilter filter;
    CHECK(filter.accepts(unit_event));
    CHECK(filter.accepts("not JSON"));
}

TEST_CASE("names, any of them") {
    EventFilter filter;
    REQUIRE(filter.add_event("group-empty"));
    REQUIRE(filter.add_event("attached"));
    CHECK_FALSE(filter.accepts(unit_event));
    CHECK(filter.accepts(group_event));
    CHECK(filter.accepts(moved_event));
    CHECK_FALSE(filter.accepts("not JSON"));
}

TEST_CASE("a name that is none is refused with the one that was meant") {
    EventFilter filter;
    const auto slip = filter.add_event("group-emtpy");
    REQUIRE_FALSE(slip);
    CHECK(slip.error().code == EINVAL);
    CHECK(slip.error().message().find("group-empty") != std::string::npos);
}

TEST_CASE("a group and all below it, and nothing beside it") {
    EventFilter filter;
    SECTION("itself and below") {
        REQUIRE(filter.add_group("tenant:/acme"));
        CHECK(filter.accepts(group_event));
        CHECK_FALSE(filter.accepts(R"({"event":"group-empty","group":"tenant:/acme2"})"));
        CHECK(filter.accepts(R"({"event":"group-empty","group":"tenant:/acme"})"));
        CHECK_FALSE(filter.accepts(R"({"event":"group-empty","group":"tenant:/"})"));
        CHECK_FALSE(filter.accepts(unit_event));
    }
    SECTION("a slash at the end is the same") {
        REQUIRE(filter.add_group("tenant:/acme/"));
        CHECK(filter.accepts(group_event));
    }
    SECTION("a root is the whole hierarchy") {
        REQUIRE(filter.add_group("tenant:/"));
        CHECK(filter.accepts(group_event));
        CHECK_FALSE(filter.accepts(moved_event));
    }
    SECTION("where processes were moved to") {
        REQUIRE(filter.add_group("compute:/batch"));
        CHECK(filter.accepts(moved_event));
    }
    SECTION("what is no group is refused") {
        CHECK(filter.add_group("acme").error().code == EINVAL);
        CHECK(filter.add_group(":/acme").error().code == EINVAL);
    }
}

TEST_CASE("of each kind one has to agree") {
    EventFilter filter;
    REQUIRE(filter.add_unit("web"));
    CHECK(filter.accepts(unit_event));
    CHECK_FALSE(filter.accepts(R"({"event":"unit-active","unit":"db"})"));
    REQUIRE(filter.add_event("unit-failed"));
    CHECK_FALSE(filter.accepts(unit_event));
    CHECK(filter.accepts(R"({"event":"unit-failed","unit":"web"})"));
    CHECK(filter.add_unit("tenant:/acme").error().code == EINVAL);
}

TEST_CASE("the list of events is sorted and each has its line") {
    CHECK(std::is_sorted(std::begin(control::event_names), std::end(control::event_names),
                         [](const auto& a, const auto& b) { return a.name < b.name; }));
    for (const auto& row : control::event_names) {
        CHECK_FALSE(row.about.empty());
    }
}
