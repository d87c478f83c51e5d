#include "controllers/attribute.h"

#include <catch2/catch.hpp>
#include <cerrno>

using namespace gpcsup;
using namespace gpcsup::controllers;

namespace {

Attribute of(AttributeType type) {
    return {"x", type, Access::read_write, "", "", "help"};
}

base::Result<> at_least_two(const Value& value) {
    if (std::get<std::uint64_t>(value) < 2) {
        return base::refuse(EINVAL, "expected at least 2");
    }
    return {};
}

}  // namespace

TEST_CASE("values are read by type, and printed so that they are read back") {
    struct Row {
        AttributeType type;
        std::string text;
        Value value;
        std::string printed;
    };
    using enum AttributeType;
    const Row rows[] = {
        {boolean, "true", true, "true"},
        {boolean, "0", false, "false"},
        {boolean, " 1\n", true, "true"},
        {count, "0", std::uint64_t{0}, "0"},
        {count, "18446744073709551615", UINT64_MAX, "18446744073709551615"},
        {limit, "max", Max{}, "max"},
        {limit, " 64 ", std::uint64_t{64}, "64"},
        {cpu_list, "", std::string(), ""},
        {cpu_list, "3,0-1,2", std::string("0-3"), "0-3"},
        {node_list, "0,2", std::string("0,2"), "0,2"},
        {rate, "max", Max{}, "max"},
        {rate, "100/1s", std::string("100/1s"), "100/1s"},
        {rate, "5 / 60s", std::string("5/1m"), "5/1m"},
        {text, " kept as it is ", std::string(" kept as it is "), " kept as it is "},
    };
    for (const Row& row : rows) {
        INFO(type_name(row.type) << ": " << row.text);
        const auto value = parse_value("c.x", of(row.type), row.text);
        REQUIRE(value);
        CHECK(*value == row.value);
        CHECK(format_value(*value) == row.printed);
        CHECK(*parse_value("c.x", of(row.type), format_value(*value)) == *value);
    }
}

TEST_CASE("what is not a value says what was expected") {
    struct Row {
        AttributeType type;
        std::string text;
        int code;
        std::string message;
    };
    using enum AttributeType;
    const Row rows[] = {
        {limit, "many", EINVAL, "numtasks.limit: expected a whole number or \"max\", got 'many'"},
        {limit, "", EINVAL, "numtasks.limit: expected a whole number or \"max\", got ''"},
        {limit, "12x", EINVAL, "numtasks.limit: expected a whole number or \"max\", got '12x'"},
        {limit, "1.5", EINVAL, "numtasks.limit: expected a whole number or \"max\", got '1.5'"},
        {limit, "-1", EINVAL,
         "numtasks.limit: expected a whole number or \"max\", got '-1'; no limit is written \"max\""},
        {limit, "infinity", EINVAL,
         "numtasks.limit: expected a whole number or \"max\", got 'infinity'; no limit is written \"max\""},
        {limit, "18446744073709551616", ERANGE,
         "numtasks.limit: '18446744073709551616' is too big; no limit is written \"max\""},
        {count, "max", EINVAL, "numtasks.limit: expected a whole number, got 'max'"},
        {boolean, "yes", EINVAL, "numtasks.limit: expected true or false, got 'yes'; write true"},
        {boolean, "2", EINVAL, "numtasks.limit: expected true or false, got '2'"},
    };
    for (const Row& row : rows) {
        INFO(row.text);
        const auto value = parse_value("numtasks.limit", of(row.type), row.text);
        REQUIRE_FALSE(value);
        CHECK(value.error().code == row.code);
        CHECK(value.error().message() == row.message);
    }
    CHECK(parse_value("c.cpus", of(cpu_list), "3-1").error().code == EINVAL);
    CHECK(parse_value("c.cpus", of(cpu_list), "99999").error().code == ERANGE);
    CHECK(parse_value("c.cpus", of(cpu_list), "a")
              .error()
              .message()
              .starts_with("c.cpus: expected a list of CPUs like \"0-3,8\", got 'a': "));
    for (const char* bad : {"100", "100/", "/1s", "x/1s", "100/0s", "100/5", "100/1s/2"}) {
        INFO(bad);
        CHECK(parse_value("c.rate", of(rate), bad).error().code == EINVAL);
    }
}

TEST_CASE("a read-only attribute and a check of its own") {
    Attribute current = of(AttributeType::count);
    current.access = Access::read_only;
    CHECK(parse_value("numtasks.current", current, "5").error().code == EACCES);
    CHECK(parse_value("numtasks.current", current, "5").error().message() ==
          "numtasks.current can only be read");
    Attribute checked = of(AttributeType::count);
    checked.check = at_least_two;
    CHECK(parse_value("c.x", checked, "2"));
    CHECK(parse_value("c.x", checked, "1").error().message() == "c.x: expected at least 2");
}

TEST_CASE("rates") {
    const auto rate = parse_rate("30/1m30s");
    REQUIRE(rate);
    CHECK(rate->count == 30);
    CHECK(rate->window_ns == 90'000'000'000);
}

TEST_CASE("users are numbers, or none") {
    const Attribute owner = of(AttributeType::user);
    CHECK(*parse_value("group.owner", owner, "1000") == Value{std::uint64_t{1000}});
    CHECK(*parse_value("group.owner", owner, "none") == Value{std::string("none")});
    for (const char* bad : {"", "alice", "-1", "4294967295", "4294967296", "12 ", "max"}) {
        INFO(bad);
        const auto value = parse_value("group.owner", owner, bad);
        CHECK(value.has_value() == (std::string(bad) == "12 "));  // blanks around it are not looked at
    }
    CHECK(parse_value("group.owner", owner, "alice").error().message() ==
          "group.owner: expected a numeric user id or \"none\", got 'alice'");
}
