#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "logging/pipes.h"
#include "wire/keep.h"

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

// gpc-init uses the rows of its table again, so that a set may bring a younger pipe before an older one.
TEST_CASE(
    "dropped pipes of one log are written in the order of their age, in whatever order a set brings them") {
    char directory[] = "/tmp/gpc-logging-test.XXXXXX";
    REQUIRE(mkdtemp(directory) != nullptr);
    struct Arrival {
        std::uint64_t key;
        std::string text;
    };
    const Arrival oldest{wire::private_ids | 1, "1 oldest\n"};
    const Arrival older{wire::private_ids | 2, "2 older\n"};
    const Arrival youngest{7, "3 youngest\n"};
    std::vector<Arrival> arrivals{oldest, older, youngest};
    const auto by_key = [](const Arrival& a, const Arrival& b) { return a.key < b.key; };
    std::ranges::sort(arrivals, by_key);
    do {
        std::filesystem::remove(std::string(directory) + "/web.log");
        Pipes pipes(directory, Troubles(directory), [] { return RealTime(); });
        pipes.begin_set();
        for (const Arrival& arrival : arrivals) {
            int ends[2];
            REQUIRE(pipe2(ends, O_CLOEXEC) == 0);
            REQUIRE(write(ends[1], arrival.text.data(), arrival.text.size()) > 0);
            close(ends[1]);
            pipes.add(arrival.key, "web", base::Fd(ends[0]));
            pipes.drop(arrival.key);
        }
        CHECK(pipes.take_finished().empty());  // not before the set is complete
        pipes.end_set();
        CHECK(pipes.take_finished() == std::vector{oldest.key, older.key, youngest.key});
        std::ifstream log(std::string(directory) + "/web.log");
        std::string order;
        for (std::string line; std::getline(log, line);) {
            order += line.substr(line.rfind(' ', line.rfind(' ') - 1) + 1, 1);  // after the time
        }
        CHECK(order == "123");
    } while (std::ranges::next_permutation(arrivals, by_key).found);
    std::filesystem::remove_all(directory);
}

}  // namespace gpcsup::logging
