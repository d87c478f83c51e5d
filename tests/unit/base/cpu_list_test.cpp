#include "base/cpu_list.h"

#include <catch2/catch.hpp>
#include <cerrno>
#include <random>
#include <set>

using gpcsup::base::CpuList;
using gpcsup::base::parse_cpu_list;

TEST_CASE("a CPU list is read as the kernel reads it and written canonically") {
    struct Row {
        const char* text;
        const char* canonical;
    };
    const Row rows[] = {
        {"", ""},
        {"0", "0"},
        {"0-3", "0-3"},
        {"0-3,8", "0-3,8"},
        {"8,0-3", "0-3,8"},
        {"0,1,2", "0-2"},
        {"3-3", "3"},
        {"0-4,2-6", "0-6"},
        {"0-15:2/4", "0-1,4-5,8-9,12-13"},
        {"1-10:1/3", "1,4,7,10"},
        {"0-3:4/4", "0-3"},
        {"0-3:0/4", ""},
        {" 0-3 , 8 \n", "0-3,8"},
        {"0 1\t2", "0-2"},
        {",,1,,", "1"},
        {"\n", ""},
        {"63,64", "63-64"},
        {"8191", "8191"},
        {"007", "7"},
    };
    for (const Row& row : rows) {
        CAPTURE(row.text);
        const auto list = parse_cpu_list(row.text);
        REQUIRE(list.has_value());
        CHECK(list->format() == row.canonical);
        CHECK(parse_cpu_list(list->format()).value() == *list);
    }
}

TEST_CASE("what is not a CPU list is refused, pointing at the place") {
    struct Row {
        const char* text;
        int code;
        const char* mentions;
    };
    const Row rows[] = {
        {"a", EINVAL, "expected a number at \"a\""},
        {"0-", EINVAL, "expected a number at the end"},
        {"-1", EINVAL, "expected a number at \"-1\""},
        {"3-1", EINVAL, "backwards"},
        {"0-3;8", EINVAL, "unexpected character at \";8\""},
        {"0x3", EINVAL, "at \"x3\""},
        {"0-3:", EINVAL, "expected a number at the end"},
        {"0-3:2", EINVAL, "USED/GROUP"},
        {"0-3:2/0", EINVAL, "GROUP may not be 0"},
        {"0-3:3/2", EINVAL, "exceed GROUP"},
        {"0-3:1/2x", EINVAL, "at \"x\""},
        {"0-3-5", EINVAL, "at \"-5\""},
        {"8192", ERANGE, "too big at \"8192\""},
        {"0-8192", ERANGE, "too big"},
        {"99999999999999999999", ERANGE, "too big"},
        {"4294967296", ERANGE, "too big"},
    };
    for (const Row& row : rows) {
        CAPTURE(row.text);
        const auto list = parse_cpu_list(row.text);
        REQUIRE_FALSE(list.has_value());
        CHECK(list.error().code == row.code);
        CHECK_THAT(list.error().message(), Catch::Contains(row.mentions));
    }
}

TEST_CASE("set operations on CPU lists agree with std::set") {
    std::mt19937 random(20061123);
    std::uniform_int_distribution<unsigned> number(0, 200);
    for (int round = 0; round < 200; ++round) {
        std::set<unsigned> a_set;
        std::set<unsigned> b_set;
        CpuList a;
        CpuList b;
        for (unsigned i = 0; i < number(random) / 4; ++i) {
            const unsigned x = number(random);
            const unsigned y = number(random);
            a_set.insert(x);
            a.insert(x);
            b_set.insert(y);
            b.insert(y);
        }
        bool subset = true;
        std::set<unsigned> both;
        std::set<unsigned> only_a = a_set;
        std::set<unsigned> all = b_set;
        for (unsigned x : a_set) {
            subset = subset && b_set.contains(x);
            all.insert(x);
            if (b_set.contains(x)) {
                both.insert(x);
                only_a.erase(x);
            }
        }
        const auto as_vector = [](const std::set<unsigned>& set) {
            return std::vector<unsigned>(set.begin(), set.end());
        };
        CHECK(a.numbers() == as_vector(a_set));
        CHECK(a.count() == a_set.size());
        CHECK(a.empty() == a_set.empty());
        CHECK(a.is_subset_of(b) == subset);
        CHECK(a.intersect(b).numbers() == as_vector(both));
        CHECK(a.unite(b).numbers() == as_vector(all));
        CHECK(a.subtract(b).numbers() == as_vector(only_a));
        CHECK(parse_cpu_list(a.format()).value() == a);
        CHECK(CpuList::from_words(a.words()) == a);
    }
}

TEST_CASE("equal CPU lists have equal words, however they were made") {
    CpuList list;
    list.insert(100);
    list.insert(1);
    list.erase(100);
    list.erase(5000);
    CHECK(list == parse_cpu_list("1").value());
    CHECK(list.words() == std::vector<std::uint64_t>{2});
    CHECK(CpuList::from_words({2, 0, 0}) == list);
    CHECK(CpuList::up_to(0).empty());
    CHECK(CpuList::up_to(66).format() == "0-65");
    CHECK_FALSE(list.contains(100000));
}
