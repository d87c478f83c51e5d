#include "grouping/tree_plan.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <map>
#include <random>
#include <set>

using namespace gpcsup::grouping;

namespace {

const Making making = {[](Compat, const std::string&, const std::string& attribute) {
                           return attribute.ends_with(".limit")   ? std::string("max")
                                  : attribute == clone_switch     ? std::string("false")
                                  : attribute.ends_with(".owner") ? std::string("none")
                                                                  : std::string();
                       },
                       {"group.owner", std::string(clone_switch)},
                       {"x.mask"}};

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
    const auto steps = plan_tree(previous, next, live, making);
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
    CHECK(plan_tree(tree, tree, tree, making).empty());
    CHECK(plan_tree({}, {}, tree, making).empty());
    // A value that is the default is set when it is not listed.
    const DeclaredTree wants_default = tenant({{"/acme", {{"numtasks.limit", "max"}}, ""}});
    CHECK(plan_tree(wants_default, wants_default, tenant({{"/acme", {}, ""}}), making).empty());
}

TEST_CASE("groups are made and changed and taken away") {
    const DeclaredTree previous = tenant(
        {{"/acme", {{"numtasks.limit", "64"}, {"numtasks.forkrate", "1/1s"}}, ""}, {"/old/deep", {}, ""}});
    const DeclaredTree next = tenant({{"/acme", {{"numtasks.limit", "128"}}, ""}, {"/new/web", {}, ""}});
    DeclaredTree live = previous;
    live[0].groups.push_back({"/old", {}, ""});
    live[0].groups.push_back({"/by-hand", {{"numtasks.limit", "5"}}, ""});
    CHECK(lines(plan_tree(previous, next, live, making)) ==
          Lines{"remove-group tenant:/old/deep", "remove-group tenant:/old", "create-group tenant:/new/web",
                "set tenant:/acme numtasks.forkrate: 1/1s → \"\", numtasks.limit: 64 → 128"});
}

TEST_CASE(
    "what was set at run time is set back where the file says something, and stays where it says nothing") {
    const DeclaredTree file = tenant({{"/acme", {{"numtasks.limit", "64"}}, ""}});
    const DeclaredTree live = tenant({{"/acme", {{"numtasks.limit", "7"}, {"group.owner", "alice"}}, ""}});
    CHECK(lines(plan_tree(file, file, live, making)) == Lines{"set tenant:/acme numtasks.limit: 7 → 64"});
}

TEST_CASE("what is inherited counts as said, whoever is set first") {
    const DeclaredTree file =
        tenant({{"/acme", {{"group.owner", "7"}}, ""}, {"/acme/web", {}, ""}, {"/acme/db", {}, ""}});
    const DeclaredTree there = tenant({{"/acme", {}, ""}, {"/acme/db", {}, ""}});
    const Lines steps = {"create-group tenant:/acme/web", "set tenant:/acme group.owner: none → 7",
                         "set tenant:/acme/db group.owner: none → 7",
                         "set tenant:/acme/web group.owner: none → 7"};
    CHECK(lines(plan_tree(there, file, there, making)) == steps);
    CHECK(plan_tree(file, file, file, making).empty());
    // No more inherited: neither of them had it of its own.
    CHECK(lines(plan_tree(file, there, file, making)) == Lines{"remove-group tenant:/acme/web",
                                                               "set tenant:/acme group.owner: 7 → none",
                                                               "set tenant:/acme/db group.owner: 7 → none"});
    // The parent has it at run time, the file knows nothing of it: a new group is as the file makes it.
    const DeclaredTree given = tenant({{"/acme", {{"group.owner", "7"}}, ""}});
    CHECK(lines(plan_tree({}, there, given, making)) ==
          Lines{"create-group tenant:/acme/db", "set tenant:/acme/db group.owner: 7 → none"});
}

TEST_CASE("what is inherited is had, though what is said may be refused") {
    const DeclaredTree file =
        tenant({{"/acme", {{"group.owner", "7"}}, ""}, {"/acme/web", {{"numtasks.limit", "5"}}, ""}});
    CHECK(lines(plan_tree({}, file, {}, making)) ==
          Lines{"create-hierarchy tenant numtasks", "create-group tenant:/acme",
                "create-group tenant:/acme/web", "set tenant:/acme group.owner: none → 7",
                "set tenant:/acme/web group.owner: none → 7",
                "set tenant:/acme/web numtasks.limit: max → 5"});
}

TEST_CASE("the settings of a root in two tables are one") {
    const DeclaredTree file =
        tenant({{"/", {{"group.release_agent", "/bin/true"}}, ""}, {"/", {{"numtasks.limit", "9"}}, ""}});
    CHECK(lines(plan_tree({}, file, {}, making)) ==
          Lines{"create-hierarchy tenant numtasks",
                "set tenant:/ group.release_agent: \"\" → /bin/true, numtasks.limit: max → 9"});
    const DeclaredTree less = tenant({{"/", {{"group.release_agent", "/bin/true"}}, ""}});
    CHECK(lines(plan_tree(file, less, file, making)) == Lines{"set tenant:/ numtasks.limit: 9 → max"});
}

TEST_CASE("a group stays for the sake of one below it, without its settings") {
    const DeclaredTree previous = tenant({{"/acme", {{"numtasks.limit", "64"}}, ""}, {"/acme/web", {}, ""}});
    const DeclaredTree next = tenant({{"/acme/web", {}, ""}});
    CHECK(lines(plan_tree(previous, next, previous, making)) ==
          Lines{"set tenant:/acme numtasks.limit: 64 → max"});
}

TEST_CASE("hierarchies come and go") {
    const DeclaredTree previous = tenant({{"/acme", {}, ""}});
    const DeclaredTree next = {{"compute", {"cpuset"}, {{"/batch", {{"cpuset.cpus", "1"}}, ""}}, ""}};
    CHECK(lines(plan_tree(previous, next, previous, making)) ==
          Lines{"remove-group tenant:/acme", "remove-hierarchy tenant", "create-hierarchy compute cpuset",
                "create-group compute:/batch", "set compute:/batch cpuset.cpus: \"\" → 1"});
    CHECK(plan_tree(previous, {}, {}, making).empty());  // somebody has removed it already
}

TEST_CASE("a hierarchy is made with its compat, which is never changed, and whose defaults are its own") {
    DeclaredTree old = tenant({{"/acme", {{"numfiles.limit", "512"}}, ""}});
    old[0].compat = Compat::year_2006;
    const DeclaredTree today = tenant({{"/acme", {{"numfiles.limit", "512"}}, ""}});
    const Making defaults = {
        [](Compat compat, const std::string& path, const std::string&) {
            return std::string(compat == Compat::year_2006 && path != "/" ? "512" : "max");
        },
        {},
        {}};
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
    CHECK(lines(plan_tree(previous, next, previous, making)) ==
          Lines{"release-controllers a cpuacct", "release-controllers b no controllers",
                "rebind-hierarchy a cpuacct, numtasks", "rebind-hierarchy b cpuset"});
    CHECK(blocked(previous, next, previous).empty());
    const DeclaredTree only_gives = {{"a", {"cpuset"}, {}, ""}, {"b", {"numtasks", "cpuacct"}, {}, ""}};
    CHECK(lines(plan_tree(previous, only_gives, previous, making)) ==
          Lines{"release-controllers a cpuset", "rebind-hierarchy b numtasks, cpuacct"});
    CHECK(plan_tree(previous, {{"b", {"numtasks"}, {}, ""}, {"a", {"cpuacct", "cpuset"}, {}, ""}}, previous,
                    making)
              .empty());
}

TEST_CASE("what a controller had been set goes with it, and nobody resets it") {
    const DeclaredTree previous = tenant({{"/", {{"numtasks.limit", "5"}}, ""}}, {"numtasks"});
    CHECK(lines(plan_tree(previous, tenant({}, {}), previous, making)) ==
          Lines{"release-controllers tenant no controllers"});
    CHECK(lines(plan_tree(previous, tenant({}, {"numtasks"}), previous, making)).size() == 1);
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

using Values = std::map<std::string, std::string>;
using Groups = std::map<std::string, Values>;  // path → what is not the default

// Hierarchies that do what steps say, in the plainest way.
struct World {
    std::map<std::string, Groups> trees;
    std::map<std::string, std::vector<std::string>> controllers;

    void make(Groups& groups, const std::string& path) {
        if (groups.contains(path)) {
            return;
        }
        const std::string parent = path.rfind('/') == 0 ? "/" : path.substr(0, path.rfind('/'));
        make(groups, parent);
        Values& made = groups[path];
        for (const auto& [name, value] : groups[parent]) {
            const bool cloned = name == "x.mask" && groups[parent].contains("group.clone_children");
            if (name == "group.owner" || name == "group.clone_children" || cloned) {
                made[name] = value;
            }
        }
    }

    // False: it would be refused now.
    bool take(const TreeStep& step) {
        if (step.action == TreeAction::create_hierarchy) {
            REQUIRE_FALSE(trees.contains(step.hierarchy));
            trees[step.hierarchy]["/"];
            controllers[step.hierarchy] = step.controllers;
            return true;
        }
        REQUIRE(trees.contains(step.hierarchy));
        Groups& groups = trees[step.hierarchy];
        switch (step.action) {
            case TreeAction::remove_group:
                REQUIRE(groups.erase(step.path) == 1);
                REQUIRE(std::ranges::none_of(
                    groups, [&](const auto& one) { return one.first.starts_with(step.path + "/"); }));
                break;
            case TreeAction::remove_hierarchy:
                REQUIRE(groups.size() == 1);
                trees.erase(step.hierarchy);
                break;
            case TreeAction::create_group:
                make(groups, step.path);
                break;
            case TreeAction::set:
                if (!groups.contains(step.path)) {
                    return false;
                }
                for (const SettingChange& change : step.changes) {
                    put(groups[step.path], change.name, change.to);
                }
                break;
            default:
                controllers[step.hierarchy] = step.controllers;
                break;
        }
        return true;
    }

    static void put(Values& values, const std::string& name, const std::string& value) {
        values.erase(name);
        if (value != making.default_of(Compat::none, "/", name)) {
            values[name] = value;
        }
    }

    void take(const std::vector<TreeStep>& steps) {
        for (const TreeStep& step : steps) {
            REQUIRE(take(step));
        }
    }

    // As it would be written down; what is in LEFT_OUT, only implied.
    [[nodiscard]] DeclaredTree declared(const std::set<std::string>& left_out = {}) const {
        DeclaredTree tree;
        for (const auto& [name, groups] : trees) {
            DeclaredHierarchy hierarchy{name, controllers.at(name), {}, ""};
            for (const auto& [path, values] : groups) {
                DeclaredGroup group{path, {}, ""};
                for (const auto& [setting, value] : values) {
                    group.settings.push_back({setting, value});
                }
                hierarchy.groups.push_back(std::move(group));
            }
            hierarchy = as_declared(hierarchy, making, left_out);
            std::erase_if(hierarchy.groups, [&](const auto& one) { return left_out.contains(one.path); });
            tree.push_back(std::move(hierarchy));
        }
        return tree;
    }
};

World booted(const DeclaredTree& file) {
    World world;
    world.take(plan_tree({}, file, {}, making));
    return world;
}

// Groups are made and set in any order in which each can be.
void take_in_any_order(World& world, std::vector<TreeStep> steps, std::mt19937& random) {
    const auto groups = std::ranges::find_if(
        steps, [](const TreeStep& step) { return step.action >= TreeAction::create_group; });
    std::shuffle(groups, steps.end(), random);
    for (std::size_t refused = 0; !steps.empty(); refused = 0) {
        std::vector<TreeStep> later;
        for (const TreeStep& step : steps) {
            if (!world.take(step)) {
                later.push_back(step);
                ++refused;
            }
        }
        REQUIRE(refused < steps.size());
        steps = std::move(later);
    }
}

void set_something(DeclaredGroup& group, std::mt19937& random) {
    const auto below = [&](unsigned end) {
        return std::uniform_int_distribution<unsigned>(0, end - 1)(random);
    };
    const auto maybe = [&](std::string name, const std::vector<std::string>& values) {
        if (below(3) == 0) {
            group.settings.push_back({std::move(name), values[below(static_cast<unsigned>(values.size()))]});
        }
    };
    maybe("x.limit", {"max", "1", "2", "3"});
    maybe("x.colour", {"", "red", "green"});
    maybe("group.owner", {"none", "7", "8"});
    maybe("group.clone_children", {"true", "false"});
    maybe("x.mask", {"", "0", "0-1"});
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
            hierarchy.groups.push_back({path, {}, ""});
            set_something(hierarchy.groups.back(), random);
        }
        tree.push_back(std::move(hierarchy));
    }
    return tree;
}

}  // namespace

TEST_CASE("from any declaration to any other, there and back, in one round, to what a boot makes") {
    for (unsigned seed = 1; seed <= 2000; ++seed) {
        INFO("seed " << seed);
        std::mt19937 random(seed);
        const DeclaredTree first = random_tree(random);
        const DeclaredTree second = random_tree(random);
        World world = booted(first);
        REQUIRE(plan_tree(first, first, world.declared(), making).empty());
        const auto steps = plan_tree(first, second, world.declared(), making);
        CHECK(blockers_of(steps, world.declared(), [](const auto&, const auto&) {
                  return Occupants{};
              }).empty());
        world.take(steps);
        CHECK(world.trees == booted(second).trees);
        CHECK(plan_tree(second, second, world.declared(), making).empty());
        take_in_any_order(world, plan_tree(second, first, world.declared(), making), random);
        CHECK(world.trees == booted(first).trees);
    }
}

TEST_CASE("a boot comes to what the declaration says, in whatever order its groups are made and set") {
    for (unsigned seed = 1; seed <= 2000; ++seed) {
        INFO("seed " << seed);
        std::mt19937 random(seed);
        const DeclaredTree file = random_tree(random);
        World world;
        take_in_any_order(world, plan_tree({}, file, {}, making), random);
        for (const DeclaredHierarchy& hierarchy : file) {
            Groups said;
            for (const DeclaredGroup& group : as_made(hierarchy, making).groups) {
                for (const auto& [name, value] : values_of(group)) {
                    World::put(said[group.path], name, value);
                }
                said[group.path];
            }
            CHECK(world.trees[hierarchy.name] == said);
        }
    }
}

TEST_CASE("a snapshot makes the tree that it was taken of, by boot and by apply") {
    for (unsigned seed = 1; seed <= 2000; ++seed) {
        INFO("seed " << seed);
        std::mt19937 random(seed);
        World world = booted(random_tree(random));
        for (auto& [name, groups] : world.trees) {
            for (auto& [path, values] : groups) {  // at run time, with nobody below told of it
                DeclaredGroup changed{path, {}, ""};
                set_something(changed, random);
                for (const DeclaredSetting& setting : changed.settings) {
                    World::put(values, setting.name, setting.value);
                }
            }
        }
        const DeclaredTree snapshot = world.declared();
        CHECK(booted(snapshot).trees == world.trees);
        CHECK(plan_tree(snapshot, snapshot, world.declared(), making).empty());
        const DeclaredTree other = random_tree(random);
        World changed = booted(other);
        changed.take(plan_tree(other, snapshot, changed.declared(), making));
        CHECK(changed.trees == world.trees);
        // Without groups that are not written: those below them are what they are.
        std::set<std::string> left_out;
        for (const auto& [name, groups] : world.trees) {
            for (const auto& [path, values] : groups) {
                if (path != "/" && seed % 3 == 0 && path.ends_with("/p")) {
                    left_out.insert(path);
                }
            }
        }
        for (const auto& [name, groups] : booted(world.declared(left_out)).trees) {
            for (const auto& [path, values] : groups) {
                if (!left_out.contains(path)) {
                    CHECK(values == world.trees[name][path]);
                }
            }
        }
    }
}
