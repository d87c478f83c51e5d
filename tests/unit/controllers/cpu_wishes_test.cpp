#include "controllers/cpu_wishes.h"

#include <catch2/catch.hpp>

using namespace gpcsup;
using controllers::CpuWishes;

namespace {

base::CpuList list(const char* text) {
    return *base::parse_cpu_list(text);
}

base::ThreadId thread_of(pid_t pid, pid_t tid) {
    return {{pid, 100}, tid, 200};
}

}  // namespace

TEST_CASE("what a thread is given when the CPUs of its group change") {
    struct Row {
        const char* asked;  // null: nothing was told
        const char* given;
        const char* has;
        const char* before;
        const char* now;
        const char* mask;
    };
    const Row rows[] = {
        {nullptr, "", "0-3", "0-3", "1-2", "1-2"},  // no choice of its own
        {nullptr, "", "0-7", "0-3", "1-2", "1-2"},  // nor with CPUs that the group never had
        {nullptr, "", "2-3", "2", "2", "2"},        // 3 was taken while it was offline
        {nullptr, "", "1", "0-3", "0-3", "1"},      // one that is still possible
        {nullptr, "", "1", "0-3", "2-3", "2-3"},    // one that is not
        {nullptr, "", "0-1", "0-3", "1-2", "1"},    // one that is so in part
        {"1,5", "1", "1", "0-3", "0-7", "1,5"},     // what is told is told whole
        {"1,5", "1", "2", "0-3", "0-7", "2"},       // something newer, seen
        {"3", "3", "0-7", "2-3", "2", "2"},         // the kernel had to put it anywhere
    };
    for (const Row& row : rows) {
        CAPTURE(row.asked, row.has, row.before, row.now);
        CpuWishes wishes;
        const auto thread = thread_of(10, 11);
        if (row.asked != nullptr) {
            wishes.ask(thread, list(row.asked), list(row.given));
        }
        CHECK(wishes.settle(thread, list(row.has), list(row.before), list(row.now)).format() == row.mask);
    }
}

TEST_CASE("whose wish a child has") {
    CpuWishes wishes;
    wishes.ask(thread_of(10, 11), list("2-3"), list("2"));
    const auto child = thread_of(20, 20);
    const auto given_back = [&] {
        return wishes.settle(child, list("2"), list("0-2"), list("0-3")).format();
    };
    SECTION("that of a thread with its mask") {
        wishes.inherit({10, 100}, CpuWishes::Makers::several, child, list("2"), list("0-2"));
        CHECK(given_back() == "2-3");
    }
    SECTION("nobody's where no thread has it") {
        wishes.inherit({10, 100}, CpuWishes::Makers::several, child, list("1"), list("0-2"));
        wishes.inherit({10, 101}, CpuWishes::Makers::several, child, list("2"), list("0-2"));
        CHECK(wishes.size() == 1);
        CHECK(given_back() == "2");  // what it has is narrower, and so its own
    }
    SECTION("all of the group's may come from one without a wish, if there is another") {
        wishes.inherit({10, 100}, CpuWishes::Makers::several, child, list("2"), list("2"));
        CHECK(wishes.size() == 1);
        wishes.inherit({10, 100}, CpuWishes::Makers::one, child, list("2"), list("2"));
        CHECK(wishes.size() == 2);
    }
}

TEST_CASE("wishes are bounded, and those of threads that have gone make room") {
    CpuWishes wishes;
    for (pid_t tid = 1; tid <= 5000; ++tid) {
        wishes.ask(thread_of(10 + tid % 2, tid), list("1"), list("1"));
    }
    CHECK(wishes.size() == CpuWishes::at_most);
    wishes.tidy([](const base::ThreadId& thread) { return thread.tid > 4000; });
    CHECK(wishes.size() == CpuWishes::at_most - 4000);
    wishes.tidy([](const base::ThreadId&) { return false; });  // room enough: nobody is asked
    CHECK(wishes.size() == CpuWishes::at_most - 4000);
    wishes.forget(base::ProcessId{10, 100});
    CHECK(wishes.size() == (CpuWishes::at_most - 4000) / 2);
    wishes.forget(base::ProcessId{11, 100});
    CHECK(wishes.empty());
}
