#include "controllers/memset.h"

#include <linux/mempolicy.h>

#include <catch2/catch.hpp>

#include "controllers/fake_host.h"

using namespace gpcsup;
using namespace gpcsup::controllers;
using grouping::GroupId;

namespace {

struct Fixture {
    Fixture() {
        host.nodes_ = base::CpuList::up_to(4);
        compute = *set.create_hierarchy("compute", std::vector<std::string>{"memset"});
    }

    GroupId group(std::string_view path) { return *set.create_path(compute, path); }
    base::Result<> put(GroupId id, std::vector<SettingText> settings) { return set.set(id, settings); }
    std::string get(GroupId id, std::string_view name) {
        return format_value(*set.get(id, "memset." + std::string(name)));
    }
    std::string effective(GroupId id) { return get(id, "effective_mems"); }
    grouping::Places places(GroupId id) const {
        grouping::Places places{};
        places[compute.value] = id;
        return places;
    }
    processes::Process& start(pid_t pid, GroupId id, std::uint32_t flags = processes::process_service) {
        processes::Process& process = host.start(pid, host.trees().intern(places(id)));
        process.flags |= flags;
        set.born(process);
        return process;
    }
    void move(processes::Process& process, GroupId from, GroupId to) {
        const grouping::Transfer transfer{process.id(), from, to};
        host.table_->move(process, host.trees().intern(places(to)));
        REQUIRE(set.attach(compute, {&transfer, 1}));
    }
    std::string migration(const processes::Process& process) {
        const auto found = host.page_moves_.find(process.pid);
        CHECK(process.has(processes::process_moves_pages) == (found != host.page_moves_.end()));
        return found == host.page_moves_.end() ? "" : found->second.what;
    }
    bool is_behind(const processes::Process& process) {
        const auto found = set.shortfalls(process);
        return !found.empty() && found.front().reason.starts_with("it runs with the memory policy");
    }

    test::FakeHost host{4};
    ControllerSet set{host.trees(), host};
    grouping::HierarchyId compute{};
};

std::vector<SettingText> mems(std::string list) {
    return {{"memset.mems", std::move(list)}};
}
std::vector<SettingText> flag(std::string name, std::string value = "true") {
    return {{"memset." + std::move(name), std::move(value)}};
}

}  // namespace

TEST_CASE_METHOD(Fixture, "asked and effective nodes") {
    const auto root = host.trees().hierarchy(compute)->root;
    const auto a = group("/a");
    const auto b = group("/a/b");
    CHECK(get(root, "mems") == "0-3");
    CHECK(get(root, "mem_exclusive") == "true");
    CHECK(get(a, "mems").empty());
    CHECK(effective(b) == "0-3");
    CHECK(put(a, mems("1,2")));
    CHECK(get(a, "mems") == "1-2");
    CHECK(effective(b) == "1-2");
    CHECK(get(b, "mems").empty());
    CHECK(put(b, mems("2")));
    CHECK(effective(b) == "2");
    CHECK(effective(group("/a/new")) == "1-2");
    CHECK(put(b, mems("")));
    CHECK(effective(b) == "1-2");
}

TEST_CASE_METHOD(Fixture, "the rules of a memset, each with its errno and sentence") {
    const auto root = host.trees().hierarchy(compute)->root;
    const auto a = group("/a");
    const auto b = group("/a/b");
    const auto c = group("/c");
    REQUIRE(put(a, mems("0-1")));
    REQUIRE(put(b, mems("1")));
    struct Row {
        std::string what;
        GroupId group;
        std::vector<SettingText> settings;
        int code;
        std::string sentence;
    };
    const Row rows[] = {
        {"none that is there", c, mems("4-5"), EINVAL,
         "memset.mems of compute:/c: nodes 4-5 are not in its parent compute:/ (0-3); these are the nodes "
         "that have memory"},
        {"beyond the machine", c, mems("2-5"), EACCES,
         "memset.mems of compute:/c: nodes 4-5 are not in its parent compute:/ (0-3); these are the nodes "
         "that have memory"},
        {"beyond the parent", b, mems("1-2"), EACCES,
         "memset.mems of compute:/a/b: node 2 is not in its parent compute:/a (0-1); a group's nodes are a "
         "part of its parent's"},
        {"below a child", a, mems("0"), EBUSY,
         "memset.mems of compute:/a: compute:/a/b still has node 1; change the groups below first"},
        {"exclusive below a shared parent", b, flag("mem_exclusive"), EACCES,
         "memset.mem_exclusive of compute:/a/b: its parent compute:/a is not exclusive; set it there first"},
        {"the root's nodes", root, mems("0"), EACCES,
         "memset.mems of compute:/ is the machine's and cannot be set; make a group below it"},
        {"read-only", a, flag("effective_mems", "0"), EACCES, "memset.effective_mems can only be read"},
        {"backwards", a, mems("1-0"), EINVAL, ""},
        {"no number", a, mems("one"), EINVAL, ""},
        {"too big", a, mems("100000"), ERANGE, ""},
    };
    for (const Row& row : rows) {
        INFO(row.what);
        const auto done = put(row.group, row.settings);
        REQUIRE_FALSE(done);
        CHECK(done.error().code == row.code);
        if (!row.sentence.empty()) {
            CHECK(done.error().message() == row.sentence);
        }
        CHECK(get(a, "mems") == "0-1");
        CHECK(get(b, "mems") == "1");
    }
}

TEST_CASE_METHOD(Fixture, "exclusive nodes") {
    const auto a = group("/a");
    const auto b = group("/b");
    REQUIRE(put(a, {{"memset.mems", "0-1"}, {"memset.mem_exclusive", "true"}}));
    SECTION("no sibling may ask for one of them") {
        const auto clash = put(b, mems("1-2"));
        CHECK(clash.error().code == EINVAL);
        CHECK(
            clash.error().message() ==
            "memset.mems of compute:/b: node 1 would be shared with compute:/a, and compute:/a is exclusive");
        CHECK(put(b, mems("2")));
    }
    SECTION("one that inherits gets what is left, and all of it back") {
        CHECK(effective(b) == "2-3");
        auto& member = start(100, b);
        CHECK(put(a, flag("mem_exclusive", "false")));
        CHECK(effective(b) == "0-3");
        CHECK(is_behind(member));
        CHECK(put(a, flag("mem_exclusive")));
        CHECK_FALSE(is_behind(member));
        CHECK(set.remove_group(a));
        CHECK(effective(b) == "0-3");
    }
    SECTION("if nothing is left it shares rather than starves") {
        CHECK(put(a, mems("0-3")));
        CHECK(effective(b) == "0-3");
    }
    SECTION("a parent of an exclusive child stays exclusive") {
        const auto below = group("/a/x");
        CHECK(put(below, {{"memset.mems", "0"}, {"memset.mem_exclusive", "true"}}));
        CHECK(put(a, flag("mem_exclusive", "false")).error().code == EBUSY);
    }
}

TEST_CASE_METHOD(Fixture, "what a process is born with") {
    const auto a = group("/a");
    CHECK(set.birth(places(a)).memory_mode == 0);
    REQUIRE(put(a, mems("1,3")));
    const auto bound = set.birth(places(a));
    CHECK(bound.memory_mode == MPOL_BIND);
    CHECK(bound.memory_nodes == std::vector<std::uint64_t>{0b1010});
    REQUIRE(put(a, flag("memory_spread")));
    CHECK(set.birth(places(a)).memory_mode == MPOL_INTERLEAVE);
    CHECK(set.birth(places(a)).memory_nodes == std::vector<std::uint64_t>{0b1010});
    REQUIRE(put(a, mems("")));
    CHECK(set.birth(places(a)).memory_nodes == std::vector<std::uint64_t>{0b1111});
}

TEST_CASE_METHOD(Fixture, "policies are trapped where a group has less than all nodes") {
    const auto a = group("/a");
    const auto b = group("/a/b");
    CHECK(set.traps(places(a))->empty());
    CHECK(*set.traps(places(a), std::vector<std::string>{"memset"}) == std::vector{wire::TrapClass::policy});
    REQUIRE(put(a, mems("1")));
    CHECK(*set.traps(places(a)) == std::vector{wire::TrapClass::policy});
    CHECK(*set.traps(places(b)) == std::vector{wire::TrapClass::policy});
    CHECK(set.birth(places(a)).traps == std::vector{wire::TrapClass::policy});
    REQUIRE(put(a, {{"memset.mems", ""}, {"memset.memory_spread", "true"}}));
    CHECK(set.traps(places(a))->empty());
}

TEST_CASE_METHOD(Fixture, "a new group spreads as its parent does, until it is told otherwise") {
    const auto a = group("/a");
    REQUIRE(put(a, flag("memory_spread")));
    const auto b = group("/a/b");
    CHECK(get(b, "memory_spread") == "true");
    CHECK(set.settings_of(b).size() == 1);  // a successor knows it
    CHECK(put(b, flag("memory_spread", "false")));
    CHECK(get(group("/a/b/c"), "memory_spread") == "false");
}

TEST_CASE_METHOD(Fixture, "one node is no restriction") {
    test::FakeHost small{2};
    ControllerSet alone{small.trees(), small};
    const auto hierarchy = *alone.create_hierarchy("compute", std::vector<std::string>{"memset"});
    const auto a = *alone.create_path(hierarchy, "/a");
    REQUIRE(alone.set(a, mems("0")));
    CHECK(alone.set(a, mems("1")).error().code == EINVAL);
    grouping::Places there{};
    there[hierarchy.value] = a;
    CHECK(alone.birth(there).memory_mode == 0);
}

TEST_CASE_METHOD(Fixture, "who runs already keeps its policy, and is told of") {
    const auto a = group("/a");
    const auto b = group("/b");
    REQUIRE(put(a, mems("0")));
    REQUIRE(put(b, mems("1")));
    auto& member = start(100, a);
    CHECK_FALSE(is_behind(member));
    CHECK(set.shortfalls(member).empty());
    move(member, a, b);
    REQUIRE(is_behind(member));
    CHECK(set.shortfalls(member).front().controller == "memset");
    auto& child = host.start(101, member.membership, 100);
    set.forked(member, child);
    CHECK(is_behind(child));
    move(member, b, a);  // taken back
    CHECK_FALSE(is_behind(member));
    CHECK(is_behind(child));
    REQUIRE(put(a, mems("0-1")));
    CHECK(is_behind(member));
    REQUIRE(put(a, mems("0")));
    CHECK_FALSE(is_behind(member));
    REQUIRE(put(a, flag("memory_spread")));
    CHECK(is_behind(member));
    CHECK(is_behind(start(102, a, 0)));  // found, not started: nobody gave it a policy
}

TEST_CASE_METHOD(Fixture, "nodes that go and come") {
    const auto a = group("/a");
    const auto b = group("/b");
    REQUIRE(put(a, mems("3")));
    auto& member = start(100, a);
    host.nodes_ = base::CpuList::up_to(3);
    set.refresh();
    CHECK(get(a, "mems") == "3");
    CHECK(effective(a) == "0-2");
    CHECK(effective(b) == "0-2");
    CHECK(is_behind(member));
    CHECK(set.birth(places(a)).memory_mode == 0);
    host.nodes_ = base::CpuList::up_to(4);
    set.refresh();
    CHECK(effective(a) == "3");
    CHECK_FALSE(is_behind(member));
}

TEST_CASE_METHOD(Fixture, "a restart moves nothing and trusts what it finds of processes") {
    const auto a = group("/a");
    auto& member = start(100, a);
    auto& moved = start(101, a, processes::process_service | processes::process_other_memory);
    REQUIRE(set.restore_setting(a, {"memset.mems", "1"}));
    set.recover();
    CHECK(effective(a) == "1");
    CHECK_FALSE(is_behind(member));
    CHECK(is_behind(moved));
    REQUIRE(put(a, mems("2")));
    CHECK(is_behind(moved));
}

TEST_CASE_METHOD(Fixture, "memory follows its process where memory_migrate is set, and nowhere else") {
    const auto a = group("/a");
    const auto b = group("/b");
    REQUIRE(put(a, mems("0-1")));
    REQUIRE(put(b, mems("2-3")));
    auto& member = start(100, a);
    SECTION("into a group") {
        move(member, a, b);
        CHECK(migration(member).empty());
        move(member, b, a);
        REQUIRE(put(b, flag("memory_migrate")));
        CHECK(migration(member).empty());  // the flag alone moves nothing
        move(member, a, b);
        CHECK(migration(member) == "0-1 to 2-3");
        CHECK(get(b, "migrating") == "1");
        CHECK(get(a, "migrating") == "0");
        move(member, b, a);  // taken back before it was through; /a does not ask for it
        CHECK(migration(member).empty());
        CHECK(get(b, "migrating") == "0");
    }
    SECTION("with the group to other nodes") {
        REQUIRE(put(a, {{"memset.memory_migrate", "true"}, {"memset.mems", "1-2"}}));
        CHECK(migration(member) == "0-1 to 1-2");
        auto& below = start(101, group("/a/below"));
        REQUIRE(put(a, mems("3")));
        CHECK(migration(member) == "1-2 to 3");
        CHECK(migration(below).empty());  // its own group does not ask for it
    }
    SECTION("not where a group has every node") {
        const auto wide = group("/wide");
        REQUIRE(put(wide, flag("memory_migrate")));
        move(member, a, wide);
        CHECK(migration(member).empty());
    }
    SECTION("a new group does not have it from its parent") {
        REQUIRE(put(a, flag("memory_migrate")));
        CHECK(get(group("/a/new"), "memory_migrate") == "false");
    }
    SECTION("nodes that went and came back") {
        REQUIRE(put(b, {{"memset.memory_migrate", "true"}, {"memset.mems", "3"}}));
        auto& other = start(102, b);
        host.nodes_ = base::parse_cpu_list("0-1,3").value();
        set.refresh();
        CHECK(migration(other).empty());
        host.nodes_ = base::CpuList::up_to(2);
        set.refresh();
        CHECK(migration(other).empty());  // everywhere
        host.nodes_ = base::CpuList::up_to(4);
        set.refresh();
        CHECK(migration(other) == "0-1 to 3");
    }
}

TEST_CASE_METHOD(Fixture,
                 "what is on its way goes on with a child and a successor, and ends with its process") {
    const auto a = group("/a");
    REQUIRE(put(a, {{"memset.memory_migrate", "true"}, {"memset.mems", "1"}}));
    auto& member = start(100, a);
    REQUIRE(put(a, mems("2")));
    auto& child = host.start(101, member.membership, 100);
    set.forked(member, child);
    CHECK(migration(child) == "2 to 2");
    auto& other = start(102, a);
    set.exited(member);
    CHECK(migration(member).empty());
    CHECK(get(a, "migrating") == "1");
    host.page_moves_.clear();  // a successor has only the flags
    set.recover();
    CHECK(migration(child) == "2 to 2");
    CHECK(migration(other).empty());
    CHECK(get(a, "migrating") == "1");
}
