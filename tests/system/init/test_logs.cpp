// gpc-logd under gpc-init: what services print arrives in the files, byte for byte, whoever is killed.

#include <fcntl.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <catch2/catch.hpp>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <random>
#include <sstream>
#include <thread>

#include "instance.h"

namespace gpcsup::tests {

namespace {

using wire::KeepClass;
using wire::KeepVerb;

// gpcsupd's side of a unit's output: the pipe, kept in gpc-init.
struct Output {
    std::string name;
    base::Fd write_end;
};

Output make_output(Part& supervisor, std::uint64_t id, const std::string& name) {
    int ends[2];
    REQUIRE(pipe2(ends, O_CLOEXEC) == 0);
    base::Fd read_end(ends[0]);
    Output output{name, base::Fd(ends[1])};
    supervisor.keep(KeepClass::log_pipe, id, read_end.get(), name);
    supervisor.keep(KeepClass::log_writer, id, output.write_end.get(), name);
    return output;
}

// The text of one unit: lines that name it and their number, of uneven lengths.
std::string make_text(const std::string& name, std::size_t size) {
    std::string text;
    text.reserve(size + 300);
    for (std::uint64_t number = 0; text.size() < size; ++number) {
        text += name + " " + std::to_string(number) + " " +
                std::string(number * 37 % 200, static_cast<char>('a' + number % 26)) + "\n";
    }
    return text;
}

void write_all(int to, const std::string& text, useconds_t pause = 0) {
    std::size_t done = 0;
    while (done < text.size()) {
        const ssize_t length =
            write(to, text.data() + done, std::min<std::size_t>(text.size() - done, 10007));
        if (length < 0) {
            return;  // the comparison tells
        }
        done += static_cast<std::size_t>(length);
        usleep(pause);
    }
}

pid_t find_logd(const Instance& init) {
    const std::string number = std::to_string(init.pid());
    std::istringstream children(read_file("/proc/" + number + "/task/" + number + "/children"));
    for (pid_t child = 0; children >> child;) {
        if (read_file("/proc/" + std::to_string(child) + "/comm") == "gpc-logd\n") {
            return child;
        }
    }
    return 0;
}

// All generations, oldest first.
std::string whole_log(const Instance& init, const std::string& name) {
    std::string text;
    for (int number = 4; number >= 0; --number) {
        text +=
            read_file(init.logs() + "/" + name + ".log" + (number > 0 ? "." + std::to_string(number) : ""));
    }
    return text;
}

// Comparing megabytes should not print them.
void check_same(const std::string& found, const std::string& expected) {
    const auto place = std::mismatch(
        found.begin(), found.begin() + static_cast<std::ptrdiff_t>(std::min(found.size(), expected.size())),
        expected.begin());
    CHECK(found.size() == expected.size());
    CHECK(place.first - found.begin() == static_cast<std::ptrdiff_t>(expected.size()));
}

int count_pipes(pid_t pid) {
    int count = 0;
    for (const auto& entry : std::filesystem::directory_iterator("/proc/" + std::to_string(pid) + "/fd")) {
        std::error_code ignored;
        count += std::filesystem::read_symlink(entry.path(), ignored).string().starts_with("pipe:") ? 1 : 0;
    }
    return count;
}

struct Unmount {
    std::string place;
    ~Unmount() { umount2(place.c_str(), MNT_DETACH); }
};

// Kills gpc-logd COUNT times, each time after it has written something, at a random moment.
void kill_logd(const Instance& init, int count, std::mt19937& random,
               const std::function<std::size_t()>& written) {
    pid_t last = 0;
    for (int kills = 0; kills < count; ++kills) {
        const std::size_t before = written();
        pid_t logd = 0;
        REQUIRE(await_true([&] {
            logd = find_logd(init);
            return logd != 0 && logd != last && written() > before;
        }));
        usleep(static_cast<useconds_t>(random() % 3000));
        REQUIRE(kill(logd, SIGKILL) == 0);
        last = logd;
    }
}

std::size_t log_size(const Instance& init, const std::string& name) {
    std::size_t size = 0;
    for (const char* end : {".log", ".log.1", ".log.2", ".log.3", ".log.4"}) {
        std::error_code ignored;
        const auto length = std::filesystem::file_size(init.logs() + "/" + name + end, ignored);
        size += ignored ? 0 : length;
    }
    return size;
}

Part start_with_logd(Instance& init) {
    Part supervisor(init.await_helper("gpcsupd"));
    supervisor.receive_set();
    supervisor.send(KeepVerb::ready);
    supervisor.send(KeepVerb::helper, static_cast<std::uint64_t>(wire::HelperKind::logd));
    return supervisor;
}

}  // namespace

TEST_CASE("100 MB through 20 pipes arrive byte for byte, although gpc-logd is killed 50 times") {
    const auto seed = std::random_device{}();
    INFO("seed " << seed);
    std::mt19937 random(seed);
    Instance init({.user = identities().back(), .real_logd = true});
    Part supervisor = start_with_logd(init);
    constexpr std::size_t units = 20;
    constexpr std::size_t size = 5'000'000;
    std::vector<Output> outputs;
    std::vector<std::string> texts;
    for (std::size_t i = 0; i < units; ++i) {
        outputs.push_back(make_output(supervisor, i + 1, "unit" + std::to_string(i)));
        texts.push_back(make_text(outputs.back().name, size));
    }
    std::atomic<std::size_t> done = 0;
    std::vector<std::thread> writers;
    for (std::size_t i = 0; i < units; ++i) {
        writers.emplace_back([&, i] {
            write_all(outputs[i].write_end.get(), texts[i], 1000);  // so that there is something to be killed
            ++done;
        });
    }
    kill_logd(init, 50, random, [&] { return log_size(init, "unit0"); });
    CHECK(done < units);  // else it was killed for nothing
    for (std::thread& writer : writers) {
        writer.join();
    }
    for (std::size_t i = 0; i < units; ++i) {
        CHECK(await_true([&] { return whole_log(init, outputs[i].name).size() >= texts[i].size(); }));
        check_same(whole_log(init, outputs[i].name), texts[i]);
    }
    CHECK_FALSE(std::filesystem::exists(init.runtime() + "/logd.status"));
}

TEST_CASE("rotation under fire loses nothing either, and stopping waits for the last words") {
    Instance init({.real_logd = true});
    Part supervisor = start_with_logd(init);
    Output output = make_output(supervisor, 7, "loud");
    const std::string text = make_text("loud", 30'000'000);
    std::thread writer([&] { write_all(output.write_end.get(), text, 100); });
    std::mt19937 random(7);
    kill_logd(init, 20, random, [&] { return log_size(init, "loud"); });
    writer.join();
    // What is in the pipe at this moment must still arrive.
    output.write_end.reset();
    supervisor.send(KeepVerb::stop, 0);
    std::optional<int> status = init.await_end();
    REQUIRE(status);
    CHECK(*status == 0);
    check_same(whole_log(init, "loud"), text);
    CHECK(std::filesystem::exists(init.logs() + "/loud.log.3"));
}

TEST_CASE("a dropped pipe is written to its end, although gpc-logd dies just then") {
    Instance init({.real_logd = true});
    Part supervisor = start_with_logd(init);
    const int before = count_pipes(init.pid());
    constexpr std::uint64_t units = 60;
    for (std::uint64_t id = 1; id <= units; ++id) {
        Output output = make_output(supervisor, id, "brief" + std::to_string(id));
        const pid_t logd = find_logd(init);
        if (id % 4 == 0 && logd != 0) {
            kill(logd, SIGKILL);
        }
        write_all(output.write_end.get(), "last words\n");
        supervisor.drop(KeepClass::log_writer, id);
        if (id % 3 == 0) {
            output =
                make_output(supervisor, id,
                            "brief" + std::to_string(id));  // the same key: the older one is dropped by that
            write_all(output.write_end.get(), "more\n");
        }
        supervisor.drop(KeepClass::log_pipe, id);
    }
    for (std::uint64_t id = 1; id <= units; ++id) {
        const std::string expected = id % 3 == 0 ? "last words\nmore\n" : "last words\n";
        const std::string path = init.logs() + "/brief" + std::to_string(id) + ".log";
        INFO(path);
        await_true([&] { return read_file(path) == expected; }, seconds(5));
        CHECK(read_file(path) == expected);
    }
    // And then nobody keeps them any longer, except the writers that were not dropped.
    CHECK(await_true([&] { return count_pipes(init.pid()) == before + static_cast<int>(units / 3); },
                     seconds(5)));
    CHECK(count_pipes(init.pid()) == before + static_cast<int>(units / 3));
}

TEST_CASE("a full disk: said at once, nothing lost, written when there is room") {
    if (geteuid() != 0) {
        WARN("skipped: only root may mount");
        return;
    }
    const uid_t user = GENERATE(from_range(identities()));
    Instance init({.user = user, .real_logd = true});
    if (mount("tmpfs", init.logs().c_str(), "tmpfs", 0, ("size=128k,uid=" + std::to_string(user)).c_str()) <
        0) {
        WARN("skipped: mounting is not permitted here");
        return;
    }
    const Unmount unmount{init.logs()};
    Part supervisor = start_with_logd(init);
    std::ofstream(init.logs() + "/ballast") << std::string(100'000, 'b');
    Output full = make_output(supervisor, 1, "full");
    Output other = make_output(supervisor, 2, "other");
    const std::string text = make_text("full", 60'000);
    write_all(full.write_end.get(), text);
    const std::string status = init.runtime() + "/logd.status";
    REQUIRE(await_true([&] { return std::filesystem::exists(status); }));
    CHECK(read_file(status).find("full: cannot write " + init.logs() +
                                 "/full.log: No space left on device") == 0);
    write_all(other.write_end.get(), "other\n");
    CHECK(init.await_words("No space left on device; output waits"));
    kill(find_logd(init), SIGKILL);
    CHECK(await_true([&] {  // the successor says it, too
        const std::string words = init.words();
        return words.find("No space left") != words.rfind("No space left");
    }));
    std::filesystem::remove(init.logs() + "/ballast");
    CHECK(await_true([&] { return !std::filesystem::exists(status); }));
    // That it can be written again is said at the first success; the rest follows.
    CHECK(await_true([&] { return whole_log(init, "full").size() == text.size(); }));
    check_same(whole_log(init, "full"), text);
    CHECK(await_true([&] { return whole_log(init, "other") == "other\n"; }));
    CHECK(init.await_words("can be written again"));
}

TEST_CASE("no log directory can be made: said, and the service's output waits") {
    Instance init(
        {.user = identities().back(), .environment = {"GPCSUP_LOGS=/proc/nowhere"}, .real_logd = true});
    Part supervisor = start_with_logd(init);
    Output output = make_output(supervisor, 1, "lost");
    write_all(output.write_end.get(), "words\n");
    CHECK(init.await_words("cannot open /proc/nowhere/lost.log"));
    CHECK(await_true([&] { return std::filesystem::exists(init.runtime() + "/logd.status"); }));
}

TEST_CASE("idle, gpc-logd sleeps") {
    Instance init({.real_logd = true});
    Part supervisor = start_with_logd(init);
    Output output = make_output(supervisor, 1, "quiet");
    write_all(output.write_end.get(), "hello\n");
    CHECK(await_true([&] { return read_file(init.logs() + "/quiet.log") == "hello\n"; }));
    output.write_end.reset();
    supervisor.drop(KeepClass::log_writer, 1);  // the pipe has ended but is still kept: it must not spin
    usleep(100'000);
    const pid_t logd = find_logd(init);
    const long before =
        status_number(logd, "voluntary_ctxt_switches") + status_number(logd, "nonvoluntary_ctxt_switches");
    usleep(3'000'000);
    CHECK(status_number(logd, "voluntary_ctxt_switches") +
              status_number(logd, "nonvoluntary_ctxt_switches") ==
          before);
}

}  // namespace gpcsup::tests
