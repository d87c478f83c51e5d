#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cstring>
#include <random>
#include <set>

#include "processes/process_table.h"

using namespace gpcsup;
using processes::ProcessTable;
using processes::Transaction;

namespace {

struct Fixture {
    Fixture() {
        const std::vector<std::string> controllers{"cpuacct"};
        hierarchy = forest.create_hierarchy("acct", controllers).value();
        root = forest.hierarchy(hierarchy)->root;
        a = forest.create_group(root, "a").value();
        below = forest.create_group(a, "below").value();
        b = forest.create_group(root, "b").value();
        table = std::move(ProcessTable::create(forest, 1).value());
    }
    grouping::MembershipId in(grouping::GroupId group) {
        grouping::Places places{};
        places[hierarchy.value] = group;
        return forest.intern(places);
    }
    processes::Process& add(pid_t pid, pid_t parent, grouping::GroupId group) {
        return **table->insert({pid, static_cast<std::uint64_t>(pid)}, parent, in(group));
    }
    std::set<pid_t> members(grouping::GroupId group) {
        std::set<pid_t> found;
        table->for_each_member(group, [&](processes::Process& process) { found.insert(process.pid); });
        return found;
    }
    std::set<pid_t> members_below(grouping::GroupId group) {
        std::set<pid_t> found;
        table->for_each_member_below(group, [&](processes::Process& process) { found.insert(process.pid); });
        return found;
    }
    std::set<pid_t> children(pid_t parent) {
        std::set<pid_t> found;
        table->for_each_child(parent, [&](processes::Process& process) { found.insert(process.pid); });
        return found;
    }
    void charge(const processes::Process& process, std::uint64_t usage, std::uint64_t system = 0) {
        Transaction transaction(table->shared());
        table->books().charge(transaction, process.book, usage, system);
        transaction.commit();
    }
    base::Fd keep() { return base::Fd(::fcntl(table->descriptor(), F_DUPFD_CLOEXEC, 3)); }

    grouping::Forest forest;
    grouping::HierarchyId hierarchy;
    grouping::GroupId root, a, below, b;
    std::unique_ptr<ProcessTable> table;
};

using Pids = std::set<pid_t>;

}  // namespace

TEST_CASE_METHOD(Fixture, "processes are found by pid, by identity, by parent and by group") {
    add(10, 1, a);
    add(11, 10, below);
    add(12, 10, b);
    CHECK(table->size() == 3);
    CHECK(table->find(11)->parent == 10);
    CHECK(table->find({11, 11}) == table->find(11));
    CHECK(table->find({11, 12}) == nullptr);
    CHECK(table->find(13) == nullptr);
    CHECK(table->insert({11, 99}, 10, in(a)).error().code == EEXIST);
    CHECK(children(10) == Pids{11, 12});
    CHECK(children(1) == Pids{10});
    CHECK(members(a) == Pids{10});
    CHECK(members_below(a) == Pids{10, 11});
    CHECK(members_below(root) == Pids{10, 11, 12});
    CHECK(forest.group(a)->populated == 2);

    table->move(*table->find(12), in(a));
    CHECK(members(a) == Pids{10, 12});
    CHECK(members(b).empty());
    CHECK(table->find(12)->has(processes::process_moved));

    table->mark_dead(*table->find(11));
    CHECK(members_below(a) == Pids{10, 12});
    CHECK(table->size() == 2);
    CHECK(table->dead() == 1);
    CHECK(forest.group(below)->populated == 0);
    CHECK(table->place(*table->find(11), hierarchy) == below);  // where its time still goes

    table->erase(*table->find(10));
    CHECK(children(10) == Pids{11, 12});  // strays
    table->reparent(*table->find(12), 1);
    CHECK(children(1) == Pids{12});
    add(10, 1, b);  // the number is heard of again: so is who named it
    CHECK(children(10) == Pids{11});
}

TEST_CASE_METHOD(Fixture, "a visit may move or erase the process it is given") {
    for (pid_t pid = 10; pid < 60; ++pid) {
        add(pid, 1, pid % 2 == 0 ? a : below);
    }
    int visits = 0;
    table->for_each_member_below(a, [&](processes::Process& process) {
        ++visits;
        if (process.pid % 3 == 0) {
            table->erase(process);
        } else {
            table->move(process, in(process.pid % 2 == 0 ? below : b));
        }
    });
    CHECK(visits == 50);
    CHECK(members(a).empty());
    CHECK(table->size() == 50 - 16);
}

TEST_CASE_METHOD(Fixture, "the index by pid survives any order of arrivals and departures") {
    std::mt19937 random(7);
    std::set<pid_t> expected;
    for (int step = 0; step < 20'000; ++step) {
        const pid_t pid = std::uniform_int_distribution<pid_t>(2, 5000)(random);
        if (expected.contains(pid)) {
            table->erase(*table->find(pid));
            expected.erase(pid);
        } else {
            add(pid, expected.empty() ? 1 : *expected.begin(), step % 2 == 0 ? a : b);
            expected.insert(pid);
        }
    }
    for (pid_t pid = 2; pid <= 5000; ++pid) {
        REQUIRE((table->find(pid) != nullptr) == expected.contains(pid));
    }
    CHECK(table->size() == expected.size());
    CHECK(members_below(root) == expected);
}

TEST_CASE_METHOD(Fixture, "a full table says so") {
    for (pid_t pid = 2; pid < 65'536; ++pid) {
        REQUIRE(table->insert({pid, 1}, 1, {}));
    }
    CHECK(table->insert({70'000, 1}, 1, {}).error().code == ENOSPC);
    table->erase(*table->find(500));
    CHECK(table->insert({70'000, 1}, 1, {}));
}

TEST_CASE_METHOD(Fixture, "a successor finds everything where it was") {
    add(10, 1, a);
    add(11, 10, below);
    charge(*table->find(10), 100, 40);
    table->mark_dead(add(12, 11, b));
    charge(*table->find(12), 7);
    auto kept = keep();
    table.reset();

    Fixture fresh;  // a forest restored with the same numbers
    auto adopted = ProcessTable::adopt(fresh.forest, std::move(kept), 1);
    REQUIRE(adopted);
    fresh.table = std::move(*adopted);
    CHECK(fresh.table->size() == 2);
    CHECK(fresh.table->dead() == 1);
    CHECK(fresh.members(fresh.a) == Pids{10});
    CHECK(fresh.members(fresh.below) == Pids{11});
    CHECK(fresh.children(10) == Pids{11});
    CHECK(fresh.forest.group(fresh.a)->populated == 2);
    CHECK(fresh.table->books().usage(fresh.a) ==
          processes::CpuTime{.usage_ns = 100, .user_ns = 60, .system_ns = 40});
    CHECK(fresh.table->books().usage(fresh.b).usage_ns == 7);
    CHECK(fresh.table->books().total().usage_ns == 107);
}

TEST_CASE_METHOD(Fixture, "a group that the restored forest lacks leaves its time to the root") {
    add(10, 1, b);
    charge(*table->find(10), 100);
    auto kept = keep();
    table.reset();
    grouping::Forest bare;
    auto adopted = ProcessTable::adopt(bare, std::move(kept), 1);
    REQUIRE(adopted);
    CHECK((*adopted)->size() == 1);
    const auto unit_root = bare.hierarchy(grouping::HierarchyId{0})->root;
    CHECK((*adopted)->books().usage(unit_root).usage_ns == 100);
    CHECK(bare.group(unit_root)->populated == 1);
}

TEST_CASE_METHOD(Fixture, "memory of another version is refused") {
    table->shared().version = processes::table_version + 1;
    CHECK(ProcessTable::adopt(forest, keep(), 1).error().code == EPROTO);
    base::Fd empty(::memfd_create("empty", MFD_CLOEXEC));
    CHECK(ProcessTable::adopt(forest, std::move(empty), 1).error().code == EPROTO);
}

TEST_CASE_METHOD(Fixture, "a transaction is whole wherever its writer was killed") {
    auto& process = add(10, 1, a);
    process.seen_ns = 5;
    auto& shared = table->shared();
    Transaction transaction(shared);
    transaction.add(process.seen_ns, 10);
    transaction.add(process.seen_ns, 10);
    transaction.set(process.parent, 77);
    table->books().charge(transaction, process.book, 20, 8);
    CHECK(transaction.get(process.seen_ns) == 25);
    CHECK(process.seen_ns == 5);

    SECTION("before it was armed: nothing has happened") {
        Transaction::recover(shared);
        CHECK(process.seen_ns == 5);
        CHECK(table->books().usage(a).usage_ns == 0);
    }
    SECTION("after it was armed, at each word: everything has") {
        const processes::Log log = shared.log;
        transaction.commit();
        const std::uint32_t words = 4;
        const std::uint32_t done = GENERATE(0u, 1u, 2u, 3u, 4u);
        for (std::uint32_t index = done; index < words; ++index) {  // as if these had not been written
            const auto& entry = log.entries[index];
            const std::uint64_t old[] = {5, 1, 0, 0};
            std::memcpy(reinterpret_cast<std::byte*>(&shared) + entry.offset, &old[index], entry.size);
        }
        shared.log = log;
        shared.log.armed = words;
        Transaction::recover(shared);
        CHECK(process.seen_ns == 25);
        CHECK(process.parent == 77);
        CHECK(table->books().usage(a) == processes::CpuTime{.usage_ns = 20, .user_ns = 12, .system_ns = 8});
        CHECK(shared.log.armed == 0);
        process.parent = 1;
    }
}

TEST_CASE_METHOD(Fixture, "a removed group leaves its time to its parent") {
    auto& process = add(10, 1, below);
    charge(process, 100);
    charge(add(11, 1, a), 30);
    table->mark_dead(process);
    CHECK(table->books().usage(a).usage_ns == 130);
    const auto used = table->books().used();

    table->books().forget_group(below, a);
    REQUIRE(forest.remove_group(below));
    CHECK(table->books().usage(a).usage_ns == 130);
    CHECK(table->books().usage(root).usage_ns == 130);
    table->erase(process);  // its book has the groups of another one, and nobody refers to it any more
    CHECK(table->books().usage(a).usage_ns == 130);
    // A thousand units that come and go need no more books.
    for (int round = 0; round < 1000; ++round) {
        const auto unit = forest.create_group(a, "run").value();
        auto& run = add(20, 1, unit);
        charge(run, 1);
        table->mark_dead(run);
        table->erase(run);
        table->books().forget_group(unit, a);
        REQUIRE(forest.remove_group(unit));
    }
    CHECK(table->books().usage(a).usage_ns == 1130);
    CHECK(table->books().used() <= used + 1);
}

TEST_CASE_METHOD(Fixture,
                 "what a group alone has used is neither what is below it nor what went from there") {
    auto& process = add(10, 1, below);
    charge(process, 100);
    charge(add(11, 1, a), 30);
    const auto own = [](ProcessTable& of, grouping::GroupId group) {
        return of.books().own_usage(group).usage_ns;
    };
    CHECK(own(*table, below) == 100);
    CHECK(own(*table, a) == 30);
    CHECK(own(*table, root) == 0);
    table->mark_dead(process);
    table->books().forget_group(below, a);
    REQUIRE(forest.remove_group(below));
    CHECK(own(*table, a) == 30);
    CHECK(table->place(process, hierarchy) == a);  // for whoever asks where it was
    CHECK(table->places(process)[hierarchy.value] == a);
    charge(process, 5);  // its parent waits for it later
    CHECK(own(*table, a) == 30);
    CHECK(table->books().usage(a).usage_ns == 135);
    table->erase(process);
    auto kept = keep();
    table.reset();
    const auto adopted = ProcessTable::adopt(forest, std::move(kept), 1);
    REQUIRE(adopted);
    CHECK(own(**adopted, a) == 30);
    CHECK((*adopted)->books().usage(a).usage_ns == 135);
    (*adopted)->books().forget_group(a, root);
    CHECK(own(**adopted, root) == 0);
    CHECK((*adopted)->books().usage(root).usage_ns == 135);
}

TEST_CASE("in a hierarchy of 2006 nobody counts but a group's own members") {
    grouping::Forest trees;
    auto people = std::move(ProcessTable::create(trees).value());
    const auto old =
        trees.create_hierarchy("old", std::vector<std::string>{}, grouping::Compat::year_2006).value();
    const auto top = trees.create_group(trees.hierarchy(old)->root, "top").value();
    const auto under = trees.create_group(top, "under").value();
    const auto start = [&](pid_t pid, grouping::GroupId group) -> processes::Process& {
        grouping::Places places{};
        places[old.value] = group;
        return **people->insert({pid, 100}, 1, trees.intern(places));
    };
    start(10, top);
    processes::Process& gone = start(11, under);
    processes::Process& zombie = start(12, under);
    people->mark_dead(zombie);
    const auto count = [&](auto visit, grouping::GroupId group) {
        int found = 0;
        (people.get()->*visit)(group, [&](processes::Process&) { ++found; });
        return found;
    };
    CHECK(count(&ProcessTable::for_each_counted, top) == 1);
    CHECK(count(&ProcessTable::for_each_counted, under) == 1);
    CHECK(count(&ProcessTable::for_each_member_below, top) == 2);
    CHECK(count(&ProcessTable::for_each_dead_counted, top) == 0);
    CHECK(count(&ProcessTable::for_each_dead_counted, under) == 1);
    people->mark_dead(gone);
    people->books().forget_group(under, top);
    REQUIRE(trees.remove_group(under));
    CHECK(count(&ProcessTable::for_each_dead_counted, top) == 0);
    CHECK(count(&ProcessTable::for_each_dead_counted, trees.hierarchy(old)->root) == 0);
}

TEST_CASE_METHOD(Fixture, "hierarchies that come and go") {
    charge(add(10, 1, a), 100);
    const std::vector<std::string> none;
    const auto other = forest.create_hierarchy("other", none).value();
    const auto other_root = forest.hierarchy(other)->root;
    CHECK(table->books().usage(other_root).usage_ns == 100);  // its root has the time of all
    table->books().learn_hierarchy(other);
    CHECK(table->books().usage(other_root).usage_ns == 100);
    const auto all = table->books().usage_of_all(hierarchy);
    CHECK(all.at(root).usage_ns == 100);
    CHECK(all.at(a).usage_ns == 100);
    CHECK_FALSE(all.contains(b));
    table->books().forget_hierarchy(other);
    REQUIRE(forest.remove_hierarchy(other));
    CHECK(table->books().usage(a).usage_ns == 100);
    CHECK(table->books().total().usage_ns == 100);
}
