#include <fcntl.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <filesystem>

#include "logging/pipes.h"

namespace gpcsup::logging {

TEST_CASE("a unit that comes no more leaves nothing behind") {
    char directory[] = "/tmp/gpc-logging-test.XXXXXX";
    REQUIRE(mkdtemp(directory) != nullptr);
    Pipes pipes(directory, Troubles(directory), [] { return RealTime(); });
    for (std::uint64_t key = 1; key <= 50; ++key) {
        int ends[2];
        REQUIRE(pipe2(ends, O_CLOEXEC) == 0);
        pipes.add(key, "run-" + std::to_string(key), base::Fd(ends[0]));
        REQUIRE(write(ends[1], "x\n", 2) == 2);
        close(ends[1]);
        if (key == 2) {  // two pipes of one name, for a moment
            int again[2];
            REQUIRE(pipe2(again, O_CLOEXEC) == 0);
            pipes.add(1000, "run-2", base::Fd(again[0]));
            close(again[1]);
        }
        pipes.drop(key);
    }
    CHECK(pipes.count() == 1);
    CHECK(pipes.logs() == 1);
    pipes.drop(1000);
    CHECK(pipes.logs() == 0);
    CHECK(pipes.take_finished().size() == 51);
    std::filesystem::remove_all(directory);
}

}  // namespace gpcsup::logging
