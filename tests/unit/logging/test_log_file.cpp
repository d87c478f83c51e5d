#include <fcntl.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "logging/log_file.h"

namespace gpcsup::logging {

namespace {

namespace files = std::filesystem;
using namespace std::chrono_literals;

class Directory {
  public:
    Directory() {
        char name[] = "/tmp/gpc-logging-test.XXXXXX";
        REQUIRE(mkdtemp(name) != nullptr);
        path = name;
    }
    ~Directory() { files::remove_all(path); }
    std::string path;
};

struct PipeEnds {
    base::Fd read;
    base::Fd write;
};

PipeEnds make_pipe() {
    int ends[2];
    REQUIRE(pipe2(ends, O_CLOEXEC) == 0);
    return {base::Fd(ends[0]), base::Fd(ends[1])};
}

void put(const PipeEnds& pipe, const std::string& text) {
    REQUIRE(write(pipe.write.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size()));
}

std::string contents(const std::string& path) {
    std::ifstream file(path);
    std::ostringstream text;
    text << file.rdbuf();
    return text.str();
}

constexpr RealTime start{1'000'000s};
constexpr std::size_t plenty = 1u << 20;

}  // namespace

TEST_CASE("bytes go from the pipe to the end of the file") {
    Directory directory;
    const std::string path = directory.path + "/deep/er/web.log";
    PipeEnds pipe = make_pipe();
    LogFile log(path);
    put(pipe, "one\n");
    base::Result<Moved> moved = log.take_from(pipe.read.get(), plenty, start);
    REQUIRE(moved);
    CHECK(moved->bytes == 4);
    CHECK(moved->state == PipeState::empty);
    put(pipe, "two\nthr");
    log.close();
    LogFile successor(path);
    REQUIRE(successor.take_from(pipe.read.get(), plenty, start + 1s));
    CHECK(contents(path) == "one\ntwo\nthr");
    pipe.write.reset();
    moved = successor.take_from(pipe.read.get(), plenty, start + 2s);
    REQUIRE(moved);
    CHECK(moved->state == PipeState::ended);
    const TimeIndex times = read_times(path);
    CHECK(times.at(0) == start);
    CHECK(times.at(3) == start);
    CHECK(times.at(4) == start + 1s);
    CHECK(times.at(1000) == start + 1s);
}

TEST_CASE("a round is bounded") {
    Directory directory;
    PipeEnds pipe = make_pipe();
    LogFile log(directory.path + "/a.log");
    put(pipe, std::string(10000, 'x'));
    base::Result<Moved> moved = log.take_from(pipe.read.get(), 4096, start);
    REQUIRE(moved);
    CHECK(moved->bytes == 4096);
    CHECK(moved->state == PipeState::more);
}

TEST_CASE("times are noted at most every 100 ms, and a record cut short is repaired") {
    Directory directory;
    const std::string path = directory.path + "/a.log";
    PipeEnds pipe = make_pipe();
    LogFile log(path);
    for (int i = 0; i < 50; ++i) {
        put(pipe, "0123456789");
        REQUIRE(log.take_from(pipe.read.get(), plenty, start + i * 10ms));
    }
    CHECK(files::file_size(times_path(path)) == 5 * sizeof(TimeRecord));
    CHECK(read_times(path).at(100) == start + 100ms);
    CHECK(read_times(path).at(99) == start);
    files::resize_file(times_path(path), 5 * sizeof(TimeRecord) - 3);
    put(pipe, "more");
    REQUIRE(log.take_from(pipe.read.get(), plenty, start + 10s));
    CHECK(files::file_size(times_path(path)) == 5 * sizeof(TimeRecord));
    CHECK(read_times(path).at(500) == start + 10s);
}

TEST_CASE("a long file becomes an older generation at the end of a line, with its times") {
    Directory directory;
    const std::string path = directory.path + "/a.log";
    PipeEnds pipe = make_pipe();
    LogFile log(path, {.rotate_at = 100, .at_most = 300, .generations = 2});
    auto write_line = [&](const std::string& line, RealTime time) {
        put(pipe, line);
        base::Result<Moved> moved = log.take_from(pipe.read.get(), plenty, time);
        REQUIRE(moved);
        return *moved;
    };
    const std::string long_line = std::string(99, 'a') + "\n";
    write_line(long_line, start);
    write_line("half", start + 1s);
    CHECK(contents(path + ".1") == long_line);
    write_line(std::string(200, 'b'), start + 2s);  // beyond rotate_at, but in the middle of a line
    write_line("c\n", start + 3s);
    CHECK(contents(path) == "half" + std::string(200, 'b') + "c\n");
    write_line(long_line, start + 4s);
    CHECK(contents(path + ".1") == "half" + std::string(200, 'b') + "c\n");
    CHECK(contents(path + ".2") == long_line);
    CHECK(read_times(path + ".2").at(0) == start);
    CHECK(read_times(path + ".1").at(0) == start + 1s);
    CHECK(read_times(path + ".1").at(4) == start + 2s);
    CHECK(write_line("next\n", start + 5s).freed_space);  // the third generation is one too many
    CHECK(contents(path + ".1") == long_line);
    CHECK(contents(path + ".2") == "half" + std::string(200, 'b') + "c\n");
    CHECK_FALSE(files::exists(path + ".3"));
    // Without any newline it ends somewhere, too.
    write_line(std::string(400, 'z'), start + 6s);
    write_line("y", start + 7s);
    CHECK(contents(path) == "y");
}

TEST_CASE("a rotation that was cut short is completed, losing nothing") {
    Directory directory;
    const std::string path = directory.path + "/a.log";
    const std::string line = std::string(99, 'a') + "\n";
    // As left by a kill after .1 became .2 and before the current one became .1.
    std::ofstream(path + ".2") << "oldest\n";
    std::ofstream(path) << line;
    PipeEnds pipe = make_pipe();
    put(pipe, "new\n");
    LogFile log(path, {.rotate_at = 100, .at_most = 300, .generations = 2});
    REQUIRE(log.take_from(pipe.read.get(), plenty, start));
    CHECK(contents(path) == "new\n");
    CHECK(contents(path + ".1") == line);
    CHECK(contents(path + ".2") == "oldest\n");
}

TEST_CASE("a file that was removed or emptied by somebody is begun anew") {
    Directory directory;
    const std::string path = directory.path + "/a.log";
    PipeEnds pipe = make_pipe();
    LogFile log(path);
    put(pipe, "one\n");
    REQUIRE(log.take_from(pipe.read.get(), plenty, start));
    files::resize_file(path, 0);
    put(pipe, "two\n");
    REQUIRE(log.take_from(pipe.read.get(), plenty, start));
    CHECK(contents(path) == "two\n");
    files::remove(path);
    put(pipe, "three\n");
    REQUIRE(log.take_from(pipe.read.get(), plenty, start));
    CHECK(contents(path) == "three\n");
}

TEST_CASE("what cannot be written stays in the pipe") {
    Directory directory;
    PipeEnds pipe = make_pipe();
    put(pipe, "kept\n");
    SECTION("the name is taken by a directory") {
        const std::string path = directory.path + "/a.log";
        files::create_directory(path);
        LogFile log(path);
        base::Result<Moved> moved = log.take_from(pipe.read.get(), plenty, start);
        REQUIRE_FALSE(moved);
        CHECK(moved.error().object == path);
        files::remove(path);
        REQUIRE(log.take_from(pipe.read.get(), plenty, start));
        CHECK(contents(path) == "kept\n");
    }
    SECTION("another process writes it") {
        const std::string path = directory.path + "/a.log";
        LogFile other(path);
        PipeEnds mine = make_pipe();
        put(mine, "first\n");
        REQUIRE(other.take_from(mine.read.get(), plenty, start));
        LogFile log(path);
        base::Result<Moved> moved = log.take_from(pipe.read.get(), plenty, start);
        REQUIRE_FALSE(moved);
        CHECK(moved.error().code == EBUSY);
        other.close();
        REQUIRE(log.take_from(pipe.read.get(), plenty, start));
        CHECK(contents(path) == "first\nkept\n");
    }
    SECTION("a limit on file size") {
        const std::string path = directory.path + "/a.log";
        const pid_t child = fork();  // limits cannot be taken back by everybody
        if (child == 0) {
            signal(SIGXFSZ, SIG_IGN);
            rlimit limit{8, RLIM_INFINITY};
            setrlimit(RLIMIT_FSIZE, &limit);
            const std::string text(12, 'x');
            bool good = write(pipe.write.get(), text.data(), text.size()) == 12;  // 17 bytes in all
            LogFile log(path);
            base::Result<Moved> moved = log.take_from(pipe.read.get(), plenty, start);
            good = good && !moved && moved.error().code == EFBIG;
            limit.rlim_cur = RLIM_INFINITY;
            setrlimit(RLIMIT_FSIZE, &limit);
            moved = log.take_from(pipe.read.get(), plenty, start);
            good = good && moved;
            _exit(good ? 0 : 1);
        }
        int status = 0;
        REQUIRE(waitpid(child, &status, 0) == child);
        CHECK(status == 0);
        CHECK(contents(path) == "kept\n" + std::string(12, 'x'));
    }
}

TEST_CASE("a full disk loses nothing") {
    Directory directory;
    const std::string path = directory.path + "/a.log";
    if (mount("tmpfs", directory.path.c_str(), "tmpfs", 0, "size=64k") < 0) {
        WARN("skipped: mounting is not permitted here");
        return;
    }
    {
        std::ofstream(directory.path + "/ballast") << std::string(40960, 'b');
        PipeEnds pipe = make_pipe();
        std::string sent;
        for (int i = 0; i < 40; ++i) {
            sent += std::string(1000, static_cast<char>('a' + i % 26)) + "\n";
        }
        put(pipe, sent);
        LogFile log(path);
        base::Result<Moved> moved = log.take_from(pipe.read.get(), plenty, start);
        REQUIRE_FALSE(moved);
        CHECK(moved.error().code == ENOSPC);
        CHECK(files::file_size(path) < sent.size());
        files::remove(directory.path + "/ballast");
        REQUIRE(log.take_from(pipe.read.get(), plenty, start));
        CHECK(contents(path) == sent);
    }
    umount2(directory.path.c_str(), MNT_DETACH);
}

TEST_CASE("a log has a plain file name") {
    CHECK(log_path("/l", "web@1.x").value() == "/l/web@1.x.log");
    CHECK_FALSE(log_path("/l", ""));
    CHECK_FALSE(log_path("/l", ".."));
    CHECK_FALSE(log_path("/l", "a/b"));
}

}  // namespace gpcsup::logging
