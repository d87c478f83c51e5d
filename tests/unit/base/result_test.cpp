#include "base/result.h"

#include <catch2/catch.hpp>
#include <cerrno>

using gpcsup::base::Error;
using gpcsup::base::fail;
using gpcsup::base::pass;
using gpcsup::base::refuse;
using gpcsup::base::Result;

TEST_CASE("an error reads as one sentence") {
    struct Row {
        Error error;
        const char* message;
    };
    const Row rows[] = {
        {{ENOENT, "open", "/etc/x", ""}, "cannot open /etc/x: No such file or directory"},
        {{EACCES, "attach", "process 4711", "become root"},
         "cannot attach process 4711: Permission denied; become root"},
        {{0, "start", "web", ""}, "cannot start web"},
        {{EINVAL, "the range runs backwards", "", ""}, "the range runs backwards"},
        {{99999, "open", "x", ""}, "cannot open x: unknown error"},
    };
    for (const Row& row : rows) {
        CHECK(row.error.message() == row.message);
    }
}

TEST_CASE("an error travels through results of different types") {
    const auto inner = []() -> Result<int> { return fail(EIO, "read", "f"); };
    const auto outer = [&]() -> Result<> {
        auto number = inner();
        if (!number) {
            return pass(number);
        }
        return {};
    };
    REQUIRE_FALSE(outer().has_value());
    CHECK(outer().error().code == EIO);
    const Result<> refused = refuse(EBUSY, "no", "wait");
    CHECK(refused.error().message() == "no; wait");
}
