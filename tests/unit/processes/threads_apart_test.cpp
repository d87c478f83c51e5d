#include "processes/threads_apart.h"
#include "grouping/forest_paths.h"

#include <catch2/catch.hpp>
#include <cerrno>

using namespace gpcsup;
using gpcsup::tests::make_path;
using namespace gpcsup::processes;
using base::ThreadId;
using grouping::GroupId;
using grouping::Places;

namespace {

struct Fixture {
    grouping::Forest forest;
    grouping::HierarchyId one = *forest.create_hierarchy("one", {});
    grouping::HierarchyId two = *forest.create_hierarchy("two", {});
    GroupId a = *make_path(forest, one, "/a");
    GroupId below = *make_path(forest, one, "/a/below");
    GroupId b = *make_path(forest, two, "/b");
    ThreadsApart book{forest};
    base::ProcessId process{100, 7};
    ThreadId main{process, 100, 7};
    ThreadId worker{process, 101, 8};
    ThreadId stranger{{200, 7}, 201, 9};

    Places own(std::initializer_list<GroupId> groups) {
        Places places{};
        for (const GroupId group : groups) {
            places[forest.group(group)->hierarchy.value] = group;
        }
        return places;
    }
    std::uint32_t threads(GroupId group) { return forest.group(group)->threads; }
};

using Threads = std::vector<ThreadId>;

}  // namespace

TEST_CASE_METHOD(Fixture, "who is apart, where, and of which process") {
    CHECK(book.empty());
    book.place(worker, own({a, b}));
    book.place(main, own({below}));
    book.place(stranger, own({a}));
    CHECK(book.size() == 3);
    CHECK(book.of(process) == Threads{main, worker});
    CHECK(book.of(process, two) == Threads{worker});
    CHECK(book.of({100, 8}).empty());  // another process of that number
    CHECK(book.find(process, 101) == worker);
    CHECK_FALSE(book.find(process, 201));
    CHECK(*book.find(worker) == own({a, b}));
    CHECK(book.find(ThreadId{process, 101, 9}) == nullptr);
    CHECK(book.members(a) == Threads{worker, stranger});
    CHECK(book.members_below(a) == Threads{main, worker, stranger});
    CHECK(book.members_below(forest.hierarchy(two)->root) == Threads{worker});
    CHECK(threads(a) == 2);
    CHECK(forest.group(a)->populated == 3);
    SECTION("in one hierarchy it comes home, in the other it stays") {
        book.place(worker, own({b}));
        CHECK(threads(a) == 1);
        CHECK(threads(b) == 1);
        CHECK(book.of(process, one) == Threads{main});
    }
    SECTION("from group to group, without that one above both looking empty meanwhile") {
        book.forget(stranger);
        book.forget(worker);
        static_cast<void>(forest.take_flipped());
        book.place(main, own({a}));
        CHECK(threads(below) == 0);
        CHECK(threads(a) == 1);
        CHECK(forest.take_flipped() == std::vector<GroupId>{below});
    }
    SECTION("who is forgotten leaves nothing, and may be forgotten again") {
        for (const ThreadId& thread : {worker, worker, main, stranger}) {
            book.forget(thread);
        }
        CHECK(book.empty());
        CHECK(forest.group(a)->populated == 0);
        CHECK(forest.group(b)->populated == 0);
    }
}

TEST_CASE_METHOD(Fixture, "the book of threads is bounded") {
    for (pid_t tid = 1000; book.size() < ThreadsApart::most; ++tid) {
        book.place({process, tid, 1}, own({a}));
    }
    CHECK(book.check_room({ThreadId{process, 1000, 1}, ThreadId{process, 1001, 1}}));  // known already
    const auto full = book.check_room({worker});
    CHECK(full.error().code == ENOSPC);
    CHECK(full.error().message() == "at most 4096 threads can be apart from their processes, and 4096 are");
    book.forget({process, 1000, 1});
    CHECK(book.check_room({worker, worker}));
    CHECK(book.check_room({worker, main}).error().code == ENOSPC);
}
