#include "grouping/names.h"

#include <catch2/catch.hpp>
#include <cerrno>
#include <string>

#include "grouping/ids.h"

using namespace gpcsup::grouping;

TEST_CASE("group names") {
    struct Row {
        std::string name;
        int code;
    };
    const Row rows[] = {
        {"a", 0},
        {"web server@1", 0},
        {"größe", 0},
        {"...", 0},
        {std::string(255, 'x'), 0},
        {std::string(256, 'x'), ENAMETOOLONG},
        {"", EINVAL},
        {".", EINVAL},
        {"..", EINVAL},
        {"a/b", EINVAL},
        {"a\nb", EINVAL},
        {std::string("a\0b", 3), EINVAL},
        {"\x7f", EINVAL},
    };
    for (const Row& row : rows) {
        INFO(row.name);
        const auto valid = check_group_name(row.name);
        CHECK((valid ? 0 : valid.error().code) == row.code);
    }
}

TEST_CASE("hierarchy names") {
    CHECK(check_hierarchy_name("compute"));
    CHECK(check_hierarchy_name("a-b_c.9"));
    CHECK(check_hierarchy_name(std::string(63, 'h')));
    CHECK(check_hierarchy_name(std::string(64, 'h')).error().code == ENAMETOOLONG);
    for (const char* bad : {"", ".", "..", "a b", "a:b", "a/b", "ä"}) {
        INFO(bad);
        CHECK(check_hierarchy_name(bad).error().code == EINVAL);
    }
}

TEST_CASE("paths are split, and what is not canonical is refused") {
    CHECK(split_path("/")->empty());
    CHECK(*split_path("/a/b") == std::vector<std::string_view>{"a", "b"});
    CHECK(*split_path("/a/") == std::vector<std::string_view>{"a"});
    for (const char* bad : {"", "a", "a/b", "//", "/a//b", "/a/../b", "/./a"}) {
        INFO(bad);
        CHECK(split_path(bad).error().code == EINVAL);
    }
    std::string deep;
    for (unsigned level = 0; level < max_depth; ++level) {
        deep += "/d";
    }
    CHECK(split_path(deep)->size() == max_depth);
    CHECK(split_path(deep + "/d").error().code == EAGAIN);
}

TEST_CASE("addresses say how they are written") {
    CHECK(split_address("unit:/web")->path == "/web");
    CHECK(split_address("unit:/a:b")->path == "/a:b");
    CHECK(split_address("web").error().message() ==
          "'web' is not a group; write HIERARCHY:/PATH, for example unit:/web");
    CHECK(split_address("unit:web").error().message() ==
          "'unit:web' is not a group: its path does not begin with '/'; write 'unit:/web'");
    CHECK(split_address(":/web").error().code == EINVAL);
}

TEST_CASE("a message never carries control characters of what was typed") {
    const auto message = check_group_name("a\033[2Jb").error().message();
    CHECK(message.find('\033') == std::string::npos);
}
