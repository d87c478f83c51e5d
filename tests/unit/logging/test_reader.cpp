#include <poll.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>

#include "logging/reader.h"

namespace gpcsup::logging {

namespace {

namespace files = std::filesystem;
using namespace std::chrono_literals;

constexpr RealTime start{5'000'000s};

class Logs {
  public:
    Logs() {
        char name[] = "/tmp/gpc-reader-test.XXXXXX";
        REQUIRE(mkdtemp(name) != nullptr);
        directory = name;
    }
    ~Logs() { files::remove_all(directory); }
    [[nodiscard]] std::string path(unsigned generation = 0) const {
        return directory + "/web.log" + (generation > 0 ? "." + std::to_string(generation) : "");
    }
    void append(const std::string& text, unsigned generation = 0) const {
        std::ofstream(path(generation), std::ios::app) << text;
    }
    void rotate() const {
        for (unsigned number = 3; number + 1 > 0; --number) {
            if (files::exists(times_path(path(number)))) {
                files::rename(times_path(path(number)), times_path(path(number + 1)));
            }
            if (files::exists(path(number))) {
                files::rename(path(number), path(number + 1));
            }
        }
    }
    std::string directory;
};

std::vector<std::string> texts(const std::vector<LogLine>& lines) {
    std::vector<std::string> all;
    for (const LogLine& line : lines) {
        all.push_back(line.text);
    }
    return all;
}

using Texts = std::vector<std::string>;

}  // namespace

TEST_CASE("the last lines, over generations, with the time of each") {
    Logs logs;
    logs.append("a\nb\n", 2);
    REQUIRE(append_time(logs.path(2), 0, start));
    REQUIRE(append_time(logs.path(2), 2, start + 1s));
    logs.append("c\nd-begins ", 1);
    REQUIRE(append_time(logs.path(1), 0, start + 2s));
    logs.append("and ends\n\ne\nunfin");
    REQUIRE(append_time(logs.path(), 0, start + 3s));
    REQUIRE(append_time(logs.path(), 10, start + 4s));

    base::Result<LogTail> tail = last_lines(logs.directory, "web", 100);
    REQUIRE(tail);
    CHECK(texts(tail->lines) == Texts{"a", "b", "c", "d-begins and ends", "", "e", "unfin"});
    CHECK(tail->lines[0].time == start);
    CHECK(tail->lines[1].time == start + 1s);
    CHECK(tail->lines[3].time == start + 2s);
    CHECK(tail->lines[4].time == start + 3s);
    CHECK(tail->lines[5].time == start + 4s);
    CHECK_FALSE(tail->lines[6].complete);
    for (std::size_t count = 0; count <= 7; ++count) {
        tail = last_lines(logs.directory, "web", count);
        REQUIRE(tail);
        REQUIRE(tail->lines.size() == count);
        if (count == 4) {
            CHECK(texts(tail->lines) == Texts{"d-begins and ends", "", "e", "unfin"});
        }
    }
}

TEST_CASE("a log without times, and one that is not there") {
    Logs logs;
    base::Result<LogTail> tail = last_lines(logs.directory, "web", 3);
    REQUIRE_FALSE(tail);
    CHECK(tail.error().code == ENOENT);
    logs.append("only\n");
    tail = last_lines(logs.directory, "web", 3);
    REQUIRE(tail);
    CHECK(texts(tail->lines) == Texts{"only"});
    CHECK_FALSE(tail->lines[0].time);
    CHECK_FALSE(last_lines(logs.directory, "../web", 3));
}

TEST_CASE("long logs are read from the end") {
    Logs logs;
    std::string text;
    for (int i = 0; i < 100000; ++i) {
        text += "line " + std::to_string(i) + "\n";
    }
    logs.append(text);
    base::Result<LogTail> tail = last_lines(logs.directory, "web", 20000);
    REQUIRE(tail);
    REQUIRE(tail->lines.size() == 20000);
    CHECK(tail->lines.front().text == "line 80000");
    CHECK(tail->lines.back().text == "line 99999");
}

TEST_CASE("following: nothing twice, nothing missed, over rotations") {
    Logs logs;
    logs.append("one\ntwo\nthr");
    base::Result<LogTail> tail = last_lines(logs.directory, "web", 2);
    REQUIRE(tail);
    CHECK(texts(tail->lines) == Texts{"two", "thr"});
    base::Result<LogFollower> follower = LogFollower::open(logs.directory, "web", tail->next);
    REQUIRE(follower);
    base::Result<std::vector<LogLine>> lines = follower->next();
    REQUIRE(lines);
    CHECK(lines->empty());
    logs.append("ee\nfour\n");
    pollfd place{follower->descriptor(), POLLIN, 0};
    REQUIRE(poll(&place, 1, 5000) == 1);
    CHECK(texts(*follower->next()) == Texts{"three", "four"});
    logs.append("five\nsix has two");
    logs.rotate();
    logs.append(" halves\nseven\n");
    logs.rotate();
    REQUIRE(append_time(logs.path(), 0, start));
    logs.append("eight\n");
    lines = follower->next();
    REQUIRE(lines);
    CHECK(texts(*lines) == Texts{"five", "six has two halves", "seven", "eight"});
    CHECK(lines->back().time == start);
    CHECK_FALSE(lines->front().time);
}

TEST_CASE("following goes on when somebody empties the file") {
    Logs logs;
    logs.append("a line that is longer than what comes\nand half");
    base::Result<LogFollower> follower = LogFollower::open(logs.directory, "web");
    REQUIRE(follower);
    CHECK(texts(*follower->next()) == Texts{"a line that is longer than what comes"});
    std::filesystem::resize_file(logs.path(), 0);
    logs.append("new\n");
    CHECK(texts(*follower->next()) == Texts{"new"});
}

TEST_CASE("following a log that begins later, and one rotated between reading and following") {
    Logs logs;
    base::Result<LogFollower> follower = LogFollower::open(logs.directory, "web");
    REQUIRE(follower);
    CHECK(follower->next()->empty());
    logs.append("first\n");
    CHECK(texts(*follower->next()) == Texts{"first"});
    base::Result<LogTail> tail = last_lines(logs.directory, "web", 5);
    REQUIRE(tail);
    logs.append("second\n");
    logs.rotate();
    logs.append("third\n");
    base::Result<LogFollower> late = LogFollower::open(logs.directory, "web", tail->next);
    REQUIRE(late);
    CHECK(texts(*late->next()) == Texts{"second", "third"});
    CHECK_FALSE(LogFollower::open(logs.directory + "/none", "web"));
}

}  // namespace gpcsup::logging
