#include "journal/journal.h"

#include <unistd.h>

#include <catch2/catch.hpp>
#include <random>

using gpcsup::base::Fd;
using gpcsup::journal::Journal;
using gpcsup::journal::Meaning;
using gpcsup::journal::Record;

namespace {

Fd copy_of(const Journal& journal, off_t size) {
    Fd copy(dup(journal.descriptor()));
    std::string bytes(static_cast<std::size_t>(size), '\0');
    auto created = Journal::create();
    Fd fresh(dup(created->descriptor()));
    REQUIRE(pread(journal.descriptor(), bytes.data(), bytes.size(), 0) == size);
    REQUIRE(pwrite(fresh.get(), bytes.data(), bytes.size(), 0) == size);
    return fresh;
}

std::map<std::string, std::string> bodies(const Journal& journal) {
    std::map<std::string, std::string> result;
    auto states = gpcsup::journal::fold(journal);
    REQUIRE(states);
    for (const auto& [key, record] : *states) {
        result[key] = record.body;
    }
    return result;
}

}  // namespace

TEST_CASE("a record reads back as it was written") {
    const Record record{7, 8, 9, Meaning::state, "unit-active", "unit/web", R"({"state":"active"})"};
    const std::string bytes = gpcsup::journal::encode(record);
    REQUIRE(bytes.size() % 8 == 0);
    const auto decoded = gpcsup::journal::decode(std::as_bytes(std::span(bytes)));
    REQUIRE(decoded);
    CHECK(decoded->size == bytes.size());
    CHECK(decoded->record.sequence == 7);
    CHECK(decoded->record.event == "unit-active");
    CHECK(decoded->record.key == "unit/web");
    CHECK(decoded->record.body == record.body);
}

TEST_CASE("a record with any bit changed is not believed") {
    const std::string bytes = gpcsup::journal::encode({1, 2, 3, Meaning::note, "event", "", "{}"});
    for (std::size_t bit = 0; bit < bytes.size() * 8; ++bit) {
        std::string damaged = bytes;
        damaged[bit / 8] = static_cast<char>(damaged[bit / 8] ^ (1 << (bit % 8)));
        INFO("bit " << bit);
        CHECK_FALSE(gpcsup::journal::decode(std::as_bytes(std::span(damaged))));
    }
}

TEST_CASE("the fold is the last value of each key; notes and erased keys are not in it") {
    auto journal = Journal::create();
    REQUIRE(journal);
    REQUIRE(journal->state("", "unit/a", "1"));
    REQUIRE(journal->state("unit-active", "unit/b", "2"));
    REQUIRE(journal->note("refused", "{}"));
    REQUIRE(journal->state("", "unit/a", "3"));
    REQUIRE(journal->erase("", "unit/b"));
    CHECK(bodies(*journal) == std::map<std::string, std::string>{{"unit/a", "3"}});
    CHECK(journal->last_sequence() == 5);
}

TEST_CASE("a successor adopts every whole record wherever the writer was cut off") {
    auto journal = Journal::create();
    REQUIRE(journal);
    std::vector<std::uint64_t> ends{0};
    for (int i = 0; i < 20; ++i) {
        REQUIRE(journal->state("event", "key", std::string(static_cast<std::size_t>(i * 7), 'x')));
        ends.push_back(journal->size());
    }
    for (std::uint64_t cut = 0; cut <= journal->size(); ++cut) {
        auto successor = Journal::adopt(copy_of(*journal, static_cast<off_t>(cut)));
        REQUIRE(successor);
        const auto whole = std::upper_bound(ends.begin(), ends.end(), cut) - ends.begin() - 1;
        REQUIRE(successor->last_sequence() == static_cast<std::uint64_t>(whole));
        REQUIRE(successor->leftover() == cut - ends[static_cast<std::size_t>(whole)]);
        REQUIRE(successor->note("after", "{}").value() == static_cast<std::uint64_t>(whole) + 1);
    }
}

TEST_CASE("compaction keeps the numbering, the states written anew and the newest events") {
    auto journal = Journal::create();
    REQUIRE(journal);
    for (std::size_t i = 0; i < Journal::history + 100; ++i) {
        REQUIRE(journal->state("changed", "unit/a", std::to_string(i)));
    }
    const auto last = journal->last_sequence();
    auto successor = journal->compacted([&](Journal& fresh) -> gpcsup::base::Result<> {
        if (auto written = fresh.state("", "unit/a", "end"); !written) {
            return gpcsup::base::pass(written);
        }
        return {};
    });
    REQUIRE(successor);
    CHECK(bodies(*successor) == std::map<std::string, std::string>{{"unit/a", "end"}});
    CHECK(successor->last_sequence() == last + 1);
    std::size_t past = 0;
    std::uint64_t oldest = UINT64_MAX;
    REQUIRE(successor->read([&](const Record& record) {
        if (record.meaning == Meaning::past) {
            ++past;
            oldest = std::min(oldest, record.sequence);
        }
        return Journal::Visit::go_on;
    }));
    CHECK(past == Journal::history);
    CHECK(oldest == 101);
    auto adopted = Journal::adopt(Fd(dup(successor->descriptor())));
    REQUIRE(adopted);
    CHECK(adopted->last_sequence() == last + 1);
}

TEST_CASE("random bytes are never taken for records and never end in a loop") {
    std::mt19937 random(20261123);
    for (int round = 0; round < 200; ++round) {
        auto journal = Journal::create();
        REQUIRE(journal);
        std::string noise(random() % 4096, '\0');
        for (char& byte : noise) {
            byte = static_cast<char>(random());
        }
        REQUIRE(pwrite(journal->descriptor(), noise.data(), noise.size(), 0) ==
                static_cast<ssize_t>(noise.size()));
        auto successor = Journal::adopt(Fd(dup(journal->descriptor())));
        REQUIRE(successor);
        CHECK(successor->last_sequence() == 0);
        CHECK(successor->note("fresh", "{}"));
    }
}

TEST_CASE("a record over the limit is refused and nothing is written") {
    auto journal = Journal::create();
    REQUIRE(journal);
    auto refused = journal->note("big", std::string(gpcsup::journal::largest_record, 'x'));
    REQUIRE_FALSE(refused);
    CHECK(refused.error().code == E2BIG);
    CHECK(journal->size() == 0);
}
