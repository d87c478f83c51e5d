#include "grouping/tree_plan.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <map>
#include <random>
#include <set>

using namespace gpcsup::grouping;

namespace {

const DefaultOf default_of = [](Compat, const std::string&, const std::string& attribute) {
    return attribute.ends_with(".limit") ? std::string("max") : std::string();
};

std::vector<std::string> lines(const std::vector<TreeStep>& steps) {
    std::vector<std::string> text;
    for (const TreeStep& step : steps) {
        text.push_back(std::string(name_of(step.action)) + " " + step.what() +
                       (step.detail().empty() ? "" : " " + step.detail()));
    }
    return text;
}

using Lines = std::vector<std::string>;

DeclaredTree tenant(std::vector<DeclaredGroup> groups, std::vector<std::string> controllers = {"numtasks"}) {
    return {{"tenant", std::move(controllers), std::move(groups), "gpcsup.toml:1:1"}};
}

std::vector<std::string> blocked(const DeclaredTree& previous, const DeclaredTree& next,
                                 const DeclaredTree& live,
                                 const std::map<std::string, Occupants>& occupants = {}) {
    std::vector<std::string> messages;
    const auto steps = plan_tree(previous, next, live, default_of);
    for (const TreeBlocker& one : blockers_of(steps, live, [&](const std::string&h, const std::string&p) {
             const auto found = occupants.find(h + ":" + p);
             return found == occupants.end() ? Occupants{} : found->second;
         })) {
        messages.push_back(one.message);
    }
    return messages;
}

}  // namespace

TEST_CASE("what is the same needs no step") {
    const DeclaredTree tree = tenant({{"/acme", {{"numtasks.limit", "64"}}, ""}});
    CHECK(plan_tree(tree, tree, tree, default_of).empty());
    CHECK(plan_tree({}, {}, tree, default_of).empty());
    // A value that is the default is set when it is not listed.
    const DeclaredTree wants_default = tenant({{"/acme", {{"numtasks.limit", "max"}}, ""}});
    CHECK(plan_tree(wants_default, wants_default, tenant({{"/acme", {}, ""}}), default_of).empty());
}

TEST_CASE("groups are made and changed and taken away") {
    const DeclaredTree previous = tenant(
        {{"/acme", {{"numtasks.limit", "64"}, {"numtasks.forkrate", "1/1s"}}, ""}, {"/old/deep", {}, ""}});
    const DeclaredTree next = tenant({{"/acme", {{"numtasks.limit", "128"}}, ""}, {"/new/web", {}, ""}});
    DeclaredTree live = previous;
    live[0].groups.push_back({"/old", {}, ""});
    live[0].groups.push_back({"/by-hand", {{"numtasks.limit", "5"}}, ""});
    CHECK(lines(plan_tree(previous, next, live, default_of)) ==
          Lines{"remove-group tenant:/old/deep", "remove-group tenant:/old", "create-group tenant:/new/web",
                "set tenant:/acme numtasks.limit: 64 → 128, numtasks.forkrate: 1/1s → \"\""});
}

TEST_CASE(
    "what was set at run time is set back where the file says something, and stays where it says nothing") {
    const DeclaredTree file = tenant({{"/acme", {{"numtasks.limit", "64"}}, ""}});
    const DeclaredTree live = tenant({{"/acme", {{"numtasks.limit", "7"}, {"group.owner", "alice"}}, ""}});
    CHECK(lines(plan_tree(file, file, live, default_of)) == Lines{"set tenant:/acme numtasks.limit: 7 → 64"});
}

TEST_CASE("a group stays for the sake of one below it, without its settings") {
    const DeclaredTree previous = tenant({{"/acme", {{"numtasks.limit", "64"}}, ""}, {"/acme/web", {}, ""}});
    const DeclaredTree next = tenant({{"/acme/web", {}, ""}});
    CHECK(lines(plan_tree(previous, next, previous, default_of)) ==
          Lines{"set tenant:/acme numtasks.limit: 64 → max"});
}

TEST_CASE("hierarchies come and go") {
    const DeclaredTree previous = tenant({{"/acme", {}, ""}});
    const DeclaredTree next = {{"compute", {"cpuset"}, {{"/batch", {{"cpuset.cpus", "1"}}, ""}}, ""}};
    CHECK(lines(plan_tree(previous, next, previous, default_of)) ==
          Lines{"remove-group tenant:/acme", "remove-hierarchy tenant", "create-hierarchy compute cpuset",
                "create-group compute:/batch", "set compute:/batch cpuset.cpus: \"\" → 1"});
    CHECK(plan_tree(previous, {}, {}, default_of).empty());  // somebody has removed it already
}

TEST_CASE("a hierarchy is made with its compat, which is never changed, and whose defaults are its own") {
    DeclaredTree old = tenant({{"/acme", {{"numfiles.limit", "512"}}, ""}});
    old[0].compat = Compat::year_2006;
    const DeclaredTree today = tenant({{"/acme", {{"numfiles.limit", "512"}}, ""}});
    const DefaultOf defaults = [](Compat compat, const std::string& path, const std::string&) {
        return std::string(compat == Compat::year_2006 && path != "/" ? "512" : "max");
    };
    CHECK(lines(plan_tree({}, old, {}, defaults)) ==
          Lines{"create-hierarchy tenant numtasks; with compat = \"2006\"", "create-group tenant:/acme"});
    CHECK(plan_tree({}, old, {}, defaults)[0].compat == Compat::year_2006);
    CHECK(lines(plan_tree({}, today, {}, defaults)).back() == "set tenant:/acme numfiles.limit: max → 512");
    CHECK(lines(plan_tree(old, today, old, defaults))[0] == "change-compat tenant without compat");
    CHECK(blocked(old, today, old) ==
          std::vector<std::string>{"the hierarchy tenant exists with compat = \"2006\" and cannot come to be "
                                   "without compat: what its groups have and are limited to was counted by "
                                   "other rules; remove it first"});
    CHECK(blocked(today, old, today).size() == 1);
    CHECK(blocked(old, old, old).empty());
    CHECK(lines(plan_tree(old, {}, old, defaults)) ==
          Lines{"remove-group tenant:/acme", "remove-hierarchy tenant"});
}

TEST_CASE("controllers that change places are given away first") {
    const DeclaredTree previous = {{"a", {"cpuset", "cpuacct"}, {}, ""}, {"b", {"numtasks"}, {}, ""}};
    const DeclaredTree next = {{"a", {"cpuacct", "numtasks"}, {}, ""}, {"b", {"cpuset"}, {}, ""}};
    CHECK(lines(plan_tree(previous, next, previous, default_of)) ==
          Lines{"release-controllers a cpuacct", "release-controllers b no controllers",
                "rebind-hierarchy a cpuacct, numtasks", "rebind-hierarchy b cpuset"});
    CHECK(blocked(previous, next, previous).empty());
    const DeclaredTree only_gives = {{"a", {"cpuset"}, {}, ""}, {"b", {"numtasks", "cpuacct"}, {}, ""}};
    CHECK(lines(plan_tree(previous, only_gives, previous, default_of)) ==
          Lines{"release-controllers a cpuset", "rebind-hierarchy b numtasks, cpuacct"});
    CHECK(plan_tree(previous, {{"b", {"numtasks"}, {}, ""}, {"a", {"cpuacct", "cpuset"}, {}, ""}}, previous,
                    default_of)
              .empty());
}

TEST_CASE("what a controller had been set goes with it, and nobody resets it") {
    const DeclaredTree previous = tenant({{"/", {{"numtasks.limit", "5"}}, ""}}, {"numtasks"});
    CHECK(lines(plan_tree(previous, tenant({}, {}), previous, default_of)) ==
          Lines{"release-controllers tenant no controllers"});
    CHECK(lines(plan_tree(previous, tenant({}, {"numtasks"}), previous, default_of)).size() == 1);
}

TEST_CASE("what the forest would refuse is known before") {
    const DeclaredTree previous = tenant({{"/acme", {}, ""}, {"/acme/web", {}, ""}});
    DeclaredTree live = previous;
    CHECK(blocked(previous, tenant({}), live).empty());
    CHECK(blocked(previous, tenant({}), live, {{"tenant:/acme/web", {2, 0}}}) ==
          Lines{"tenant:/acme/web cannot be removed: 2 processes are in it"});
    CHECK(blocked(previous, tenant({}), live, {{"tenant:/acme/web", {1, 1}}}) ==
          Lines{"tenant:/acme/web cannot be removed: 1 process is in it",
                "tenant:/acme/web cannot be removed: 1 thread is in it"});
    live[0].groups.push_back({"/acme/by-hand", {}, ""});
    CHECK(blocked(previous, tenant({}), live) ==
          Lines{"tenant:/acme cannot be removed: groups made at run time are below it: /acme/by-hand"});
    CHECK(blocked(previous, {}, live).back() ==
          "the hierarchy tenant cannot be removed while it has groups: /acme/by-hand");
    CHECK(
        blocked(previous, tenant({{"/acme", {}, ""}, {"/acme/web", {}, ""}}, {"numtasks", "cpuset"}), live) ==
        Lines{"the hierarchy tenant cannot be rebound while it has groups: /acme, /acme/web, /acme/by-hand"});

    DeclaredTree other = live;
    other.push_back({"mine", {"cpuset"}, {}, ""});
    DeclaredTree wants = previous;
    wants.push_back({"compute", {"cpuset"}, {}, "gpcsup.toml:9:1"});
    CHECK(blocked(previous, wants, other) ==
          Lines{"the controller cpuset is bound to mine, which was made at run time: remove it there first"});
}

namespace {

// What the steps do, in the plainest way.
void take(DeclaredTree& live, const TreeStep& step) {
    const auto hierarchy = std::ranges::find(live, step.hierarchy, &DeclaredHierarchy::name);
    if (step.action == TreeAction::create_hierarchy) {
        REQUIRE(hierarchy == live.end());
        live.push_back({step.hierarchy, step.controllers, {{"/", {}, ""}}, ""});
        return;
    }
    REQUIRE(hierarchy != live.end());
    auto& groups = hierarchy->groups;
    const auto group = std::ranges::find(groups, step.path, &DeclaredGroup::path);
    switch (step.action) {
        case TreeAction::remove_group:
            REQUIRE(group != groups.end());
            REQUIRE(std::ranges::none_of(
                groups, [&](const auto& one) { return one.path.starts_with(step.path + "/"); }));
            groups.erase(group);
            break;
        case TreeAction::remove_hierarchy:
            REQUIRE(groups.size() == 1);
            live.erase(hierarchy);
            break;
        case TreeAction::create_group:
            for (std::size_t end = 1; end != std::string::npos;) {
                end = step.path.find('/', end + 1);
                const std::string above = step.path.substr(0, end);
                if (std::ranges::find(groups, above, &DeclaredGroup::path) == groups.end()) {
                    groups.push_back({above, {}, ""});
                }
            }
            break;
        case TreeAction::set:
            REQUIRE(group != groups.end());
            for (const SettingChange& change : step.changes) {
                std::erase_if(group->settings, [&](const auto& one) { return one.name == change.name; });
                if (change.to != default_of(Compat::none, step.path, change.name)) {
                    group->settings.push_back({change.name, change.to});
                }
            }
            break;
        default:
            hierarchy->controllers = step.controllers;
            break;
    }
}

DeclaredTree random_tree(std::mt19937& random) {
    const auto below = [&](unsigned end) {
        return std::uniform_int_distribution<unsigned>(0, end - 1)(random);
    };
    DeclaredTree tree;
    for (const char* name : {"a", "b", "c"}) {
        if (below(3) == 0) {
            continue;
        }
        DeclaredHierarchy hierarchy{name, {std::string("controller-") + name}, {}, ""};
        std::set<std::string> paths;
        for (unsigned left = below(6); left > 0; --left) {
            std::string path;
            for (unsigned depth = 1 + below(3); depth > 0; --depth) {
                path += "/" + std::string(1, static_cast<char>('p' + below(3)));
            }
            path = below(8) == 0 ? "/" : path;
            if (!paths.insert(path).second) {
                continue;
            }
            DeclaredGroup group{path, {}, ""};
            if (below(2) == 0) {
                group.settings.push_back({"x.limit", below(4) == 0 ? "max" : std::to_string(below(5))});
            }
            if (below(3) == 0) {
                group.settings.push_back({"x.colour", std::string(1, static_cast<char>('r' + below(3)))});
            }
            hierarchy.groups.push_back(std::move(group));
        }
        tree.push_back(std::move(hierarchy));
    }
    return tree;
}

}  // namespace

TEST_CASE("from any declaration to any other, there and back, in one round") {
    for (unsigned seed = 1; seed <= 2000; ++seed) {
        INFO("seed " << seed);
        std::mt19937 random(seed);
        const DeclaredTree first = random_tree(random);
        const DeclaredTree second = random_tree(random);
        DeclaredTree live;
        for (const TreeStep& step : plan_tree({}, first, live, default_of)) {
            take(live, step);
        }
        REQUIRE(plan_tree(first, first, live, default_of).empty());
        const auto sorted = [](DeclaredTree tree) {
            std::ranges::sort(tree, {}, &DeclaredHierarchy::name);
            std::map<std::string, std::map<std::string, std::string>> all;
            for (const DeclaredHierarchy& hierarchy : tree) {
                all[hierarchy.name];
                for (const DeclaredGroup& group : hierarchy.groups) {
                    auto& settings = all[hierarchy.name + ":" + group.path];
                    for (const auto& setting : group.settings) {
                        settings[setting.name] = setting.value;
                    }
                }
            }
            return all;
        };
        const auto before = sorted(live);
        CHECK(blockers_of(plan_tree(first, second, live, default_of), live, [](const auto&, const auto&) {
                  return Occupants{};
              }).empty());
        for (const TreeStep& step : plan_tree(first, second, live, default_of)) {
            take(live, step);
        }
        CHECK(plan_tree(second, second, live, default_of).empty());
        for (const TreeStep& step : plan_tree(second, first, live, default_of)) {
            take(live, step);
        }
        CHECK(sorted(live) == before);
    }
}
