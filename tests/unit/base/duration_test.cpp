#include "base/duration.h"

#include <catch2/catch.hpp>
#include <cerrno>
#include <limits>
#include <random>

using namespace std::chrono_literals;
using gpcsup::base::describe_duration;
using gpcsup::base::Duration;
using gpcsup::base::format_duration;
using gpcsup::base::parse_duration;

TEST_CASE("durations are read and written exactly") {
    struct Row {
        const char* text;
        Duration duration;
        const char* canonical;
    };
    const Row rows[] = {
        {"90s", 90s, "1m30s"},
        {"100ms", 100ms, "100ms"},
        {"1m30s", 90s, "1m30s"},
        {"1min30s", 90s, "1m30s"},
        {"1m 30s", 90s, "1m30s"},
        {"2h", 2h, "2h"},
        {"0s", 0s, "0s"},
        {"0ms", 0s, "0s"},
        {"1d", 24h, "1d"},
        {"7us", 7us, "7us"},
        {"7ns", 7ns, "7ns"},
        {"1500ms", 1500ms, "1s500ms"},
        {"25h", 25h, "1d1h"},
        {"30s1m", 90s, "1m30s"},
        {"9223372036854775807ns", Duration::max(), "106751d23h47m16s854ms775us807ns"},
    };
    for (const Row& row : rows) {
        CAPTURE(row.text);
        const auto duration = parse_duration(row.text);
        REQUIRE(duration.has_value());
        CHECK(*duration == row.duration);
        CHECK(format_duration(*duration) == row.canonical);
    }
}

TEST_CASE("what is not a duration is refused with the right spelling") {
    struct Row {
        const char* text;
        int code;
        const char* mentions;
    };
    const Row rows[] = {
        {"", EINVAL, "it is empty"},
        {"90", EINVAL, "if seconds are meant, write \"90s\""},
        {"0", EINVAL, "write \"0s\""},
        {"1m30", EINVAL, "write \"1m30s\""},
        {"s", EINVAL, "expected a whole number at \"s\""},
        {"-5s", EINVAL, "expected a whole number at \"-5s\""},
        {"1.5s", EINVAL, "\".\" is no unit"},
        {"5 s", EINVAL, "expected a unit at \" s\""},
        {"5S", EINVAL, "\"S\" is no unit"},
        {"5sec", EINVAL, "\"sec\" is no unit"},
        {" 5s", EINVAL, "expected a whole number"},
        {"5s ", EINVAL, "expected a whole number"},
        {"1m  30s", EINVAL, "expected a whole number"},
        {"9223372036854775808ns", ERANGE, "at most 292 years"},
        {"106752d", ERANGE, "at most 292 years"},
        {"99999999999999999999999s", ERANGE, "at most 292 years"},
        {"9223372036854775807ns1ns", ERANGE, "at most 292 years"},
    };
    for (const Row& row : rows) {
        CAPTURE(row.text);
        const auto duration = parse_duration(row.text);
        REQUIRE_FALSE(duration.has_value());
        CHECK(duration.error().code == row.code);
        CHECK_THAT(duration.error().message(), Catch::Contains(row.mentions));
    }
}

TEST_CASE("every written duration is read back the same") {
    std::mt19937_64 random(7);
    std::uniform_int_distribution<int> shift(0, 62);
    for (int round = 0; round < 2000; ++round) {
        const auto count = static_cast<std::int64_t>(random() >> 1) >> shift(random);
        CHECK(parse_duration(format_duration(Duration(count))).value() == Duration(count));
    }
}

TEST_CASE("durations are described in at most two parts") {
    struct Row {
        Duration duration;
        const char* text;
    };
    const Row rows[] = {
        {76h, "3 d 4 h"},
        {72h, "3 d"},
        {12min, "12 min"},
        {45s, "45 s"},
        {45400ms, "45 s"},
        {130ms, "130 ms"},
        {1500ms, "1.5 s"},
        {1s, "1 s"},
        {59600ms, "1 min"},
        {90s, "1 min 30 s"},
        {2h + 29min, "2 h 29 min"},
        {2h + 59min + 40s, "3 h"},
        {23h + 59min + 59s, "1 d"},
        {9990ms, "10 s"},
        {999600us, "1 s"},
        {250us, "250 us"},
        {3ns, "3 ns"},
        {0s, "0 s"},
        {1h + 3s, "1 h"},
        {-90s, "-1 min 30 s"},
        {1440h + 1h, "60 d 1 h"},
    };
    for (const Row& row : rows) {
        CHECK(describe_duration(row.duration) == row.text);
    }
}
