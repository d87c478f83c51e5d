#include "grouping/glob.h"

#include <catch2/catch.hpp>

using gpcsup::grouping::check_glob;
using gpcsup::grouping::glob_matches;

TEST_CASE("patterns match names") {
    struct Row {
        const char* pattern;
        const char* text;
        bool matches;
    };
    const Row rows[] = {
        {"ci-*", "ci-1", true},
        {"ci-*", "ci-", true},
        {"ci-*", "ci", false},
        {"*", "", true},
        {"*", "web", true},
        {"?", "a", true},
        {"?", "", false},
        {"?", "ab", false},
        {"w[ae]b", "web", true},
        {"w[ae]b", "wib", false},
        {"w[!ae]b", "wib", true},
        {"w[!ae]b", "web", false},
        {"[a-c]x", "bx", true},
        {"[a-c]x", "dx", false},
        {"[]]", "]", true},
        {"[a-]", "-", true},
        {"*a*b*c", "xxaxxbxxc", true},
        {"*a*b*c", "xxaxxbxx", false},
        {"a*b*a", "aba", true},
        {"a*b*a", "ab", false},
        {"web", "web", true},
        {"web", "web2", false},
        {"*@*", "getty@tty1", true},
        {"**", "x", true},
        {"*.d", "a.d.d", true},
        {"a?c*", "abcdef", true},
    };
    for (const Row& row : rows) {
        INFO(row.pattern << " against " << row.text);
        CHECK(glob_matches(row.pattern, row.text) == row.matches);
    }
}

TEST_CASE("a pattern with many stars ends soon") {
    const std::string text(2000, 'a');
    CHECK_FALSE(glob_matches("*a*a*a*a*a*a*a*a*a*a*b", text));
}

TEST_CASE("a set that is not closed is refused") {
    CHECK(check_glob("ci-[0-9]*"));
    CHECK(check_glob("[]x]"));
    CHECK_FALSE(check_glob(""));
    for (const char* pattern : {"ci-[0-9", "[", "[!", "a[]", "[!]"}) {
        INFO(pattern);
        const auto checked = check_glob(pattern);
        REQUIRE_FALSE(checked);
        CHECK(checked.error().message().find("not closed") != std::string::npos);
    }
}
