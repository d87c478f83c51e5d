#include "units/graph.h"

#include <algorithm>
#include <catch2/catch.hpp>

#include "units/world.h"

using namespace gpcsup::units;
using gpcsup::units::test::service;
using gpcsup::units::test::target;

namespace {

EdgeKind edge(const UnitGraph& graph, std::string_view from, std::string_view to) {
    for (const Edge& candidate : graph[*graph.find(from)].predecessors) {
        if (graph[candidate.unit].declaration->name == to) {
            return candidate.kind;
        }
    }
    FAIL("no edge from " << from << " to " << to);
    return EdgeKind::after;
}

bool has_edge(const UnitGraph& graph, std::string_view from, std::string_view to) {
    return std::ranges::any_of(graph[*graph.find(from)].predecessors, [&](const Edge& candidate) {
        return graph[candidate.unit].declaration->name == to;
    });
}

}  // namespace

TEST_CASE("every edge of the table becomes an edge of the graph, the strongest one wins") {
    Declaration web = service("web");
    web.depends.requires_ = {"db"};
    web.depends.wants = {"metrics", "db"};
    web.depends.binds = {"network"};
    web.depends.after = {"disk", "network"};
    web.depends.before = {"proxy"};
    web.depends.conflicts = {"old"};
    const auto built = UnitGraph::build({web, service("db"), service("metrics"), service("network"),
                                         service("disk"), service("proxy"), service("old")});
    CHECK(built.problems.empty());
    const UnitGraph& graph = built.graph;
    CHECK(edge(graph, "web", "db") == EdgeKind::requires_);
    CHECK(edge(graph, "web", "metrics") == EdgeKind::wants);
    CHECK(edge(graph, "web", "network") == EdgeKind::binds);
    CHECK(edge(graph, "web", "disk") == EdgeKind::after);
    CHECK(edge(graph, "proxy", "web") == EdgeKind::before);
    CHECK(graph[*graph.find("web")].conflicts == std::vector{*graph.find("old")});
    CHECK(graph[*graph.find("old")].conflicts == std::vector{*graph.find("web")});
    CHECK(graph[*graph.find("web")].predecessors.front().kind == EdgeKind::binds);
}

TEST_CASE("default wants what is enabled and names no other target") {
    Declaration other = service("other");
    other.wanted_by = {"evening"};
    Declaration disabled = service("disabled");
    disabled.enabled = false;
    Declaration masked = service("masked");
    masked.masked = true;
    Declaration evening = target("evening");
    evening.enabled = false;
    Declaration only_adds = target("default");
    only_adds.depends.wants = {"disabled"};
    for (bool with_file : {false, true}) {
        std::vector<Declaration> declarations = {service("plain"), other, disabled, masked, evening};
        if (with_file) {
            declarations.push_back(only_adds);
        }
        const auto built = UnitGraph::build(declarations);
        CHECK(built.problems.empty());
        CHECK(edge(built.graph, "default", "plain") == EdgeKind::wants);
        CHECK(edge(built.graph, "evening", "other") == EdgeKind::wants);
        CHECK_FALSE(has_edge(built.graph, "default", "other"));
        CHECK_FALSE(has_edge(built.graph, "default", "masked"));
        CHECK_FALSE(has_edge(built.graph, "default", "evening"));
        CHECK(has_edge(built.graph, "default", "disabled") == with_file);
        CHECK_FALSE(built.graph[*built.graph.find("masked")].refusal.empty());
    }
}

TEST_CASE("an unknown name is a problem at its place; only a need makes the unit unfit") {
    Declaration web = service("web");
    web.depends.requires_ = {"databse"};
    Declaration cache = service("cache");
    cache.depends.after = {"nowhere"};
    cache.depends.wants = {"cache"};
    const auto built = UnitGraph::build({web, cache, service("database")});
    REQUIRE(built.problems.size() == 3);
    CHECK(built.problems[0].unit == "cache");
    CHECK(built.problems[0].key == "depends.wants");
    CHECK_THAT(built.problems[0].message, Catch::Contains("cannot depend on itself"));
    CHECK(built.problems[1].key == "depends.after");
    CHECK(built.problems[1].value == "nowhere");
    CHECK(built.problems[2].unit == "web");
    CHECK_THAT(built.problems[2].message, Catch::Contains("did you mean \"database\"?"));
    CHECK_THAT(built.graph[*built.graph.find("web")].refusal, Catch::StartsWith("dependency: "));
    CHECK(built.graph[*built.graph.find("cache")].refusal.empty());
}

TEST_CASE("a loop is refused whole, printed whole, and takes nothing else with it") {
    Declaration a = service("a");
    a.depends.requires_ = {"b"};
    Declaration b = service("b");
    b.depends.after = {"c"};
    Declaration c = service("c");
    c.depends.wants = {"a"};
    Declaration behind = service("behind");
    behind.depends.requires_ = {"a"};
    const auto built = UnitGraph::build({a, b, c, behind, service("apart")});
    REQUIRE(built.problems.size() == 1);
    CHECK_THAT(built.problems[0].message, Catch::Contains("a -> b (requires) -> c (after) -> a (wants)"));
    CHECK(built.problems[0].unit == "a");
    CHECK(built.problems[0].key == "depends.requires");
    CHECK(built.problems[0].value == "b");
    for (const char* name : {"a", "b", "c"}) {
        CHECK_THAT(built.graph[*built.graph.find(name)].refusal, Catch::StartsWith("cycle: a -> b"));
    }
    CHECK(built.graph[*built.graph.find("behind")].refusal.empty());
    CHECK(has_edge(built.graph, "behind", "a"));
    CHECK(has_edge(built.graph, "default", "apart"));
}

TEST_CASE("`before` takes part in loops and is named at the place where it is written") {
    Declaration a = service("a");
    a.depends.before = {"b"};
    Declaration b = service("b");
    b.depends.before = {"a"};
    const auto built = UnitGraph::build({a, b});
    REQUIRE(built.problems.size() == 1);
    CHECK(built.problems[0].key == "depends.before");
    CHECK_THAT(built.problems[0].message, Catch::Contains("a -> b (before) -> a (before)"));
}

TEST_CASE("a loop through default never refuses default") {
    Declaration late = service("late");
    late.depends.after = {"default"};
    const auto built = UnitGraph::build({late, service("plain")});
    REQUIRE(built.problems.size() == 1);
    CHECK(built.problems[0].unit == "late");
    CHECK(built.problems[0].key == "depends.after");
    CHECK_THAT(built.problems[0].message, Catch::Contains("enabled = false"));
    CHECK(built.graph[*built.graph.find("default")].refusal.empty());
    CHECK_FALSE(built.graph[*built.graph.find("late")].refusal.empty());
    CHECK(has_edge(built.graph, "default", "plain"));
}

TEST_CASE("many loops at once are all found, each once") {
    std::vector<Declaration> declarations;
    for (int i = 0; i < 50; ++i) {
        for (int j = 0; j < 3; ++j) {
            Declaration unit = service("l" + std::to_string(i) + "-" + std::to_string(j));
            unit.depends.requires_ = {"l" + std::to_string(i) + "-" + std::to_string((j + 1) % 3)};
            declarations.push_back(unit);
        }
    }
    CHECK(UnitGraph::build(declarations).problems.size() == 50);
}

TEST_CASE("a unit whose file is broken is known and refused") {
    Declaration web = service("web");
    web.depends.requires_ = {"db"};
    const auto built = UnitGraph::build({web}, {{"db", "config: db.toml:3:1: no"}});
    CHECK(built.problems.empty());
    CHECK(built.graph[*built.graph.find("db")].refusal == "config: db.toml:3:1: no");
    CHECK(has_edge(built.graph, "web", "db"));
    CHECK_FALSE(has_edge(built.graph, "default", "db"));
}

TEST_CASE("default cannot be a service, and needing and conflicting exclude each other") {
    Declaration web = service("web");
    web.depends.requires_ = {"db"};
    web.depends.conflicts = {"db"};
    const auto built = UnitGraph::build({service("default"), web, service("db")});
    REQUIRE(built.problems.size() == 2);
    CHECK_THAT(built.problems[0].message, Catch::Contains("cannot be a service"));
    CHECK_THAT(built.problems[1].message, Catch::Contains("conflict"));
    CHECK(built.graph[*built.graph.find("default")].declaration->kind == UnitKind::target);
}

TEST_CASE("a conflict with what needs me is refused too, at the conflict") {
    Declaration ca = service("ca");
    ca.depends.conflicts = {"cb"};
    Declaration cb = service("cb");
    cb.depends.requires_ = {"ca"};
    const auto built = UnitGraph::build({ca, cb});
    REQUIRE(built.problems.size() == 1);
    CHECK(built.problems[0].unit == "ca");
    CHECK(built.problems[0].key == "depends.conflicts");
    CHECK(built.problems[0].value == "cb");
    CHECK(built.problems[0].message == R"("cb" needs "ca": it cannot be in conflict with it)");
    CHECK(built.graph[*built.graph.find("ca")].conflicts.empty());
}

TEST_CASE("rows can be added and removed, and are used again") {
    auto built = UnitGraph::build({service("web")});
    const UnitId id = built.graph.add(service("run-1"));
    CHECK(built.graph.find("run-1") == id);
    built.graph.remove(id);
    CHECK_FALSE(built.graph.find("run-1").has_value());
    CHECK(built.graph.add(service("run-2")) == id);
    CHECK(built.graph.names() == std::vector<std::string_view>{"default", "run-2", "web"});
    CHECK(built.graph.nearest_name("wbe") == "web");
}
