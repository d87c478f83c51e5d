#include "processes/file_book.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <map>
#include <random>
#include <set>

#include "sys/fake_machine.h"

using namespace gpcsup;
using grouping::GroupId;
using processes::FileBook;

namespace {

// Tables of descriptors; a description is a number, and that number is its inode.
class FakeFiles final : public sys::OpenFiles {
  public:
    base::Result<std::vector<int>> descriptors(pid_t task) override {
        std::vector<int> numbers;
        for (const auto& [number, file] : tables[task]) {
            numbers.push_back(number);
        }
        return numbers;
    }
    sys::FileOrder compare(const sys::Descriptor& first, const sys::Descriptor& second) override {
        ++comparisons;
        if (!tables[first.pid].contains(first.number)) {
            return sys::FileOrder::first_gone;
        }
        if (!tables[second.pid].contains(second.number)) {
            return sys::FileOrder::second_gone;
        }
        const int left = tables[first.pid][first.number];
        const int right = tables[second.pid][second.number];
        const auto order = left == right  ? sys::FileOrder::same
                           : left < right ? sys::FileOrder::before
                                          : sys::FileOrder::after;
        if (comparisons == close_at) {  // just then
            tables[second.pid].erase(second.number);
        }
        return order;
    }
    Tables compare_tables(pid_t first, pid_t second) override {
        return first == second ? Tables::shared : Tables::apart;
    }
    std::optional<sys::FileIdentity> identity(const sys::Descriptor& descriptor) override {
        const auto& table = tables[descriptor.pid];
        const auto found = table.find(descriptor.number);
        return found == table.end()
                   ? std::nullopt
                   : std::optional(sys::FileIdentity{1, static_cast<std::uint64_t>(found->second)});
    }
    std::map<pid_t, std::map<int, int>> tables;
    unsigned comparisons = 0;
    unsigned close_at = 0;
};

struct Fixture {
    Fixture() {
        hierarchy = forest.create_hierarchy("tenant", std::vector<std::string>{"numfiles"}).value();
        const GroupId root = forest.hierarchy(hierarchy)->root;
        a = forest.create_group(root, "a").value();
        below = forest.create_group(a, "below").value();
        b = forest.create_group(root, "b").value();
        table = std::move(processes::ProcessTable::create(forest, 1).value());
    }
    processes::Process& add(pid_t pid, GroupId group) {
        return **table->insert({pid, static_cast<std::uint64_t>(pid)}, 1, in(group));
    }
    grouping::MembershipId in(GroupId group) {
        grouping::Places places{};
        places[hierarchy.value] = group;
        return forest.intern(places);
    }
    void move(pid_t pid, GroupId from, GroupId to) {
        processes::Process& process = *table->find(pid);
        book->leave(process, from);
        table->move(process, in(to));
    }
    std::uint64_t count(GroupId group, std::uint64_t plenty = 0) {
        return book->count(
            group, [] {}, plenty);
    }

    grouping::Forest forest;
    grouping::HierarchyId hierarchy;
    GroupId a, below, b;
    std::unique_ptr<processes::ProcessTable> table;
    sys::FakeMachine machine{1};
    FakeFiles files;
    std::optional<FileBook> book_;
    struct Lazy {
        Fixture& fixture;
        FileBook* operator->() const {
            if (!fixture.book_) {
                fixture.book_.emplace(fixture.forest, *fixture.table, fixture.machine, fixture.files);
            }
            return &*fixture.book_;
        }
    } book{*this};
};

}  // namespace

TEST_CASE_METHOD(Fixture, "a description is counted once, however many descriptors it has") {
    add(10, a);
    add(11, below);
    add(12, b);
    files.tables = {{10, {{0, 1}, {1, 2}, {2, 2}, {7, 3}}}, {11, {{0, 1}, {5, 4}}}, {12, {{0, 9}}}};
    CHECK(count(a) == 4);
    CHECK(count(below) == 2);
    CHECK(count(b) == 1);
    // Where there is plenty of room, the descriptors are not compared.
    files.comparisons = 0;
    CHECK(count(a, 100) == 6);
    CHECK(files.comparisons == 0);
    CHECK(count(a, 6) == 4);
}

TEST_CASE_METHOD(Fixture, "what a mover takes along stays charged where it was, until it is closed") {
    add(10, a);
    files.tables[10] = {{0, 1}, {1, 2}};
    move(10, a, b);
    files.tables[10][2] = 3;  // opened there
    CHECK(count(a) == 2);
    CHECK(count(b) == 1);
    CHECK(book->open_elsewhere() == std::map<GroupId, std::uint64_t>{{a, 2}});
    // A child has what its parent has, also after the parent closed it.
    processes::Process& child = add(11, b);
    files.tables[11] = files.tables[10];
    book->forked(*table->find(10), child);
    files.tables[10].erase(0);
    CHECK(count(a) == 2);
    CHECK(count(b) == 1);
    files.tables[11].erase(0);
    CHECK(count(a) == 1);
    // A number that shows another file is no witness.
    files.tables[10][1] = 8;
    files.tables[11].clear();
    CHECK(count(a) == 0);
    CHECK(count(b) == 2);
    CHECK(book->open_elsewhere().empty());
    CHECK(book->empty());
}

TEST_CASE_METHOD(Fixture, "who comes back brings back what it took") {
    add(10, a);
    files.tables[10] = {{0, 1}};
    move(10, a, b);
    files.tables[10][1] = 2;
    CHECK(book->open_elsewhere() == std::map<GroupId, std::uint64_t>{{a, 1}});
    move(10, b, a);
    CHECK(book->open_elsewhere() == std::map<GroupId, std::uint64_t>{{b, 1}});
    CHECK(count(a) == 1);
    CHECK(count(b) == 1);
    book->ended(*table->find(10));
    files.tables[10].clear();
    CHECK(count(b) == 0);
}

TEST_CASE_METHOD(Fixture,
                 "a pid that is used again inherits nothing, and loses nothing to the end of the old one") {
    add(10, a);
    files.tables[10] = {{0, 1}};
    move(10, a, b);
    processes::Process old = *table->find(10);
    table->erase(*table->find(10));
    add(11, a);
    files.tables[11] = {{0, 2}};
    move(11, a, b);
    table->insert({10, 77}, 11, in(b)).value();  // told before the end of the old one
    book->forked(*table->find(11), *table->find(10));
    files.tables[10] = {{0, 2}};
    files.tables[11].clear();
    book->ended(old);
    CHECK(count(a) == 1);
    CHECK(count(b) == 0);
}

TEST_CASE_METHOD(Fixture,
                 "a file that is closed while they are compared is not counted, and harms no other") {
    add(10, a);
    for (int file = 0; file < 50; ++file) {
        files.tables[10][file] = 1 + (file * 37) % 50;
    }
    for (unsigned moment = 1; moment < 250; moment += 3) {
        const auto before = files.tables;
        files.comparisons = 0;
        files.close_at = moment;
        const std::uint64_t counted = count(a);
        CHECK(counted <= 50);
        CHECK(counted >= 49);
        files.tables = before;
    }
}

TEST_CASE_METHOD(Fixture,
                 "whatever processes open, close, hand on and take along, the sum is that of the model") {
    std::mt19937 random(20261126);
    const auto pick = [&](std::size_t most) { return random() % most; };
    const std::vector<GroupId> groups{a, below, b};
    std::map<pid_t, std::size_t> place;
    std::map<int, std::size_t> owner;  // of a description
    for (pid_t pid = 10; pid < 16; ++pid) {
        place[pid] = pick(3);
        add(pid, groups[place[pid]]);
    }
    int next_file = 1;
    const auto look = [&] {
        for (const GroupId group : groups) {
            static_cast<void>(count(group));
        }
    };
    for (unsigned step = 0; step < 3000; ++step) {
        const pid_t pid = static_cast<pid_t>(10 + pick(6));
        auto& open = files.tables[pid];
        switch (pick(6)) {
            case 0:
            case 1:
                open[next_file] = next_file;
                owner[next_file] = place[pid];
                ++next_file;
                break;
            case 2:
                if (!open.empty()) {
                    open[1000000 + next_file++] =
                        std::next(open.begin(), static_cast<long>(pick(open.size())))->second;
                }
                look();  // a duplicate is known to be one from the next look on
                break;
            case 3:
            case 4:
                if (!open.empty()) {
                    open.erase(std::next(open.begin(), static_cast<long>(pick(open.size()))));
                }
                break;
            default: {
                look();
                const std::size_t to = pick(3);
                if (to != place[pid]) {
                    move(pid, groups[place[pid]], groups[to]);
                    place[pid] = to;
                }
                break;
            }
        }
        if (step % 10 == 0) {
            std::array<std::set<int>, 3> charged;
            for (const auto& [holder, table_of] : files.tables) {
                for (const auto& [number, file] : table_of) {
                    charged[owner[file]].insert(file);
                }
            }
            INFO(step);
            REQUIRE(count(below) == charged[1].size());
            REQUIRE(count(a) == charged[0].size() + charged[1].size());
            REQUIRE(count(b) == charged[2].size());
        }
    }
}
