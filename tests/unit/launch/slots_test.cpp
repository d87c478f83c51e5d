#include "launch/slots.h"

#include <unistd.h>
#include <catch2/catch.hpp>
#include <cerrno>
#include <set>

namespace launch = gpcsup::launch;
namespace wire = gpcsup::wire;

TEST_CASE("slots are handed out once each, and again when released") {
    auto slots = launch::StartSlots::create();
    REQUIRE(slots.has_value());
    std::set<std::uint32_t> seen;
    for (std::uint64_t intent = 1; intent <= wire::start_slot_count; ++intent) {
        const auto id = (*slots)->acquire(intent);
        REQUIRE(id.has_value());
        seen.insert(id->value);
    }
    CHECK(seen.size() == wire::start_slot_count);
    CHECK((*slots)->acquire(5000).error().code == EBUSY);
    (*slots)->release(launch::SlotId(7));
    const auto again = (*slots)->acquire(5001);
    REQUIRE(again.has_value());
    CHECK(again->value == 7);
    CHECK((*slots)->intent(*again) == 5001);
}

TEST_CASE("a released slot rests before it is used again") {
    const auto slots = std::move(*launch::StartSlots::create());
    const auto first = slots->acquire(1);
    slots->release(*first);
    CHECK(slots->acquire(2)->value != first->value);
}

TEST_CASE("a new owner finds the slot clean") {
    const auto slots = std::move(*launch::StartSlots::create());
    const auto id = *slots->acquire(1);
    slots->slot(id).pid = 4711;
    slots->slot(id).error.store(ENOENT);
    slots->slot(id).step.store(static_cast<std::uint32_t>(wire::ExecStep::execute));
    REQUIRE(slots->failure(id).has_value());
    CHECK(slots->failure(id)->step == wire::ExecStep::execute);
    CHECK(slots->failure(id)->error == ENOENT);
    slots->release(id);
    for (std::uint64_t intent = 2;; ++intent) {
        const auto next = *slots->acquire(intent);
        if (next == id) {
            break;
        }
    }
    CHECK(slots->pid(id) == 0);
    CHECK_FALSE(slots->failure(id).has_value());
}

TEST_CASE("a successor sees what was started") {
    auto slots = std::move(*launch::StartSlots::create());
    const auto started = *slots->acquire(10);
    const auto only_intended = *slots->acquire(11);
    slots->slot(started).pid = 4711;
    gpcsup::base::Fd copy(dup(slots->descriptor()));
    slots.reset();
    const auto adopted = launch::StartSlots::adopt(std::move(copy));
    REQUIRE(adopted.has_value());
    const auto owned = (*adopted)->scan();
    REQUIRE(owned.size() == 2);
    CHECK(owned[0].id == started);
    CHECK(owned[0].intent == 10);
    CHECK(owned[0].pid == 4711);
    CHECK(owned[1].id == only_intended);
    CHECK(owned[1].pid == 0);
}

TEST_CASE("slots of another version are refused") {
    auto slots = std::move(*launch::StartSlots::create());
    gpcsup::base::Fd copy(dup(slots->descriptor()));
    const std::uint32_t version = 77;
    REQUIRE(pwrite(copy.get(), &version, sizeof(version), 0) == sizeof(version));
    CHECK(launch::StartSlots::adopt(std::move(copy)).error().code == EPROTO);
}

TEST_CASE("every step has a name") {
    std::set<std::string_view> names;
    for (std::uint32_t step = 0; step < static_cast<std::uint32_t>(wire::ExecStep::count_); ++step) {
        names.insert(launch::step_name(static_cast<wire::ExecStep>(step)));
    }
    CHECK(names.size() == static_cast<std::size_t>(wire::ExecStep::count_));
    CHECK_FALSE(names.contains(""));
    CHECK(launch::step_name(wire::ExecStep::execute) == "execute");
}

TEST_CASE("a process that is older than its slot is not of that start") {
    auto slots = std::move(*launch::StartSlots::create());
    slots->slot(*slots->acquire(10)).pid = 4711;
    auto owned = slots->scan().at(0);
    CHECK(owned.taken != 0);
    struct Row {
        std::uint32_t taken;
        std::uint64_t start_time;
        bool ours;
    };
    const Row rows[] = {{1000, 1000, true},
                        {1000, 999, true},  // rounded
                        {1000, 998, false},
                        {1000, 5000, true},
                        {0, 1, true},  // of a gpcsupd that did not write it
                        {0xffffffff, (std::uint64_t{1} << 32) + 5, true},  // 497 days
                        {5, (std::uint64_t{1} << 32) - 10, false}};
    for (const Row& row : rows) {
        owned.taken = row.taken;
        INFO(row.taken << " " << row.start_time);
        CHECK(owned.may_have_started(row.start_time) == row.ours);
    }
}
