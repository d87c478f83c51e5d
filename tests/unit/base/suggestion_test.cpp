#include "base/suggestion.h"

#include <array>
#include <catch2/catch.hpp>
#include <string>

using gpcsup::base::nearest;

TEST_CASE("the nearest known word is suggested, and none when none is near") {
    constexpr std::array<std::string_view, 8> known = {"restart", "restart_delay", "requires",     "command",
                                                       "user",    "start_timeout", "stop_timeout", "group"};
    struct Row {
        const char* word;
        const char* expected;  // null = none
    };
    const Row rows[] = {
        {"restart", "restart"},
        {"restrat", "restart"},
        {"resart", "restart"},
        {"RESTART", "restart"},
        {"restart-delay", "restart_delay"},
        {"require", "requires"},
        {"comand", "command"},
        {"usr", "user"},
        {"uesr", "user"},
        {"start_timout", "start_timeout"},
        {"stoptimeout", "stop_timeout"},
        {"colour", nullptr},
        {"x", nullptr},
        {"", nullptr},
    };
    for (const Row& row : rows) {
        CAPTURE(row.word);
        const auto found = nearest(row.word, known);
        CHECK(found.has_value() == (row.expected != nullptr));
        if (found && row.expected != nullptr) {
            CHECK(*found == row.expected);
        }
    }
}

TEST_CASE("a suggestion costs a bounded amount of work and needs known words") {
    constexpr std::array<std::string_view, 1> known = {"command"};
    CHECK_FALSE(nearest(std::string(1'000'000, 'c'), known).has_value());
    CHECK_FALSE(nearest("command", {}).has_value());
}

TEST_CASE("one letter is not taken for a slip of another letter") {
    constexpr std::array<std::string_view, 2> known = {"b", "ab"};
    CHECK_FALSE(nearest("x", known).has_value());
    CHECK(nearest("a", known) == "ab");
}
