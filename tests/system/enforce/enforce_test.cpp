// The real gpc-enforce between real programs and the limits of a group. The bound is judged from /proc and,
// where it is mounted, by the kernel's own pids controller; refusals by the program that suffers them.

#include <sched.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <catch2/catch.hpp>
#include <cstring>
#include <random>

#include "system/enforce/stage.h"

using namespace gpcsup;
using namespace gpcsup::test;
using wire::TrapClass;

namespace {

struct Score {
    long made = -1;
    long refused = -1;
    int error = -1;
};

Score score_of(const std::string& output) {
    Score score;
    INFO(output);
    CHECK(std::sscanf(output.c_str(), "made %ld refused %ld errno %d", &score.made, &score.refused,
                      &score.error) == 3);
    return score;
}

launch::LaunchRequest forker(const std::string& mode, long count) {
    return request_for({support_program("forker"), mode, std::to_string(count)});
}

Score finish(Service& service) {
    Stage::go(service);
    const std::string output = read_all(service.output);
    wait_for_end(service.started);
    return score_of(output);
}

void reap_everything() {
    while (waitpid(-1, nullptr, WNOHANG) > 0) {
    }
}

}  // namespace

TEST_CASE("at the edge of a limit no fork is refused that should not be") {
    struct Row {
        const char* mode;
        long count;
        std::uint64_t limit;
    };
    // Own task and one more: every single child must be let in, however recently the last one went. A million
    // rounds are in bench/.
    const Row rows[] = {{"fork", 5000, 2}, {"vfork", 5000, 2}, {"thread", 5000, 2}, {"spawn", 500, 2}};
    for (const Row& row : rows) {
        Stage stage;
        stage.count_members = count_family;
        stage.limit(2, row.limit);
        Service service = stage.start(forker(row.mode, row.count), 2, {TrapClass::task});
        const PidsCgroup cgroup;
        if (cgroup.usable()) {
            cgroup.add(service.started.pid);
        }
        const Score score = finish(service);
        INFO(row.mode << ": recounts " << stage.recounts() << ", notifications " << stage.received());
        CHECK(score.made == row.count);
        CHECK(score.refused == 0);
        CHECK(stage.failcnt(2) == 0);
        CHECK(stage.received() >= static_cast<std::uint64_t>(row.count));
        if (cgroup.usable()) {
            CHECK(cgroup.peak() == row.limit);
        }
    }
}

TEST_CASE("at the limit itself every fork is refused with EAGAIN and counted") {
    Stage stage;
    stage.limit(2, 1);
    Service service = stage.start(forker("fork", 20), 2, {TrapClass::task});
    const Score score = finish(service);
    CHECK(score.made == 0);
    CHECK(score.refused == 20);
    CHECK(score.error == EAGAIN);
    CHECK(stage.failcnt(2) == 20);
    CHECK(stage.refusals() == 20);
}

TEST_CASE("a fork bomb stays below its limit and its neighbour is not refused") {
    Stage stage;
    stage.limit(2, 50);
    Service bomb = stage.start(forker("bomb", 3000), 2, {TrapClass::task});
    Service neighbour = stage.start(forker("fork", 300), 3, {TrapClass::task});
    const PidsCgroup cgroup;
    if (cgroup.usable()) {
        cgroup.add(bomb.started.pid);
    }
    Stage::go(bomb);
    std::atomic<bool> over = false;
    std::uint64_t most = 0;
    std::thread watcher([&] {
        while (!over) {
            most = std::max(most, count_session(bomb.started.pid).tasks);
        }
    });
    const Score quiet = finish(neighbour);
    const Score score = score_of(read_all(bomb.output));
    over = true;
    watcher.join();
    wait_for_end(bomb.started);
    INFO("refused " << score.refused << ", made " << score.made << ", recounts " << stage.recounts());
    CHECK(most <= 50);
    CHECK(most >= 45);  // and it does get there
    CHECK(score.refused > 0);
    CHECK(score.error == EAGAIN);
    CHECK(stage.failcnt(2) > 0);
    CHECK(quiet.refused == 0);
    if (cgroup.usable()) {
        CHECK(cgroup.peak() <= 50);
        CHECK(cgroup.peak() >= 45);
    }
    reap_everything();
}

TEST_CASE("the limit of an ancestor holds for all below it together") {
    Stage stage;
    stage.limit(1, 20);
    stage.limit(2, 15);
    stage.limit(3, 15);
    Service first = stage.start(forker("bomb", 1500), 2, {TrapClass::task});
    Service second = stage.start(forker("bomb", 1500), 3, {TrapClass::task});
    Stage::go(first);
    Stage::go(second);
    std::uint64_t most = 0;
    std::uint64_t most_first = 0;
    while (!readable(second.output.get(), 0ms)) {
        const std::uint64_t in_first = count_session(first.started.pid).tasks;
        most_first = std::max(most_first, in_first);
        most = std::max(most, in_first + count_session(second.started.pid).tasks);
    }
    read_all(first.output);
    read_all(second.output);
    wait_for_end(first.started);
    wait_for_end(second.started);
    // Two scans of two sessions are not one moment: the sum may show one that moved its life from one to the
    // other.
    CHECK(most <= 22);
    CHECK(most_first <= 15);
    CHECK(stage.failcnt(1) > 0);
    reap_everything();
}

TEST_CASE("processes and threads are limited apart") {
    Stage stage;
    stage.limit(2, 1, wire::BudgetKind::processes);
    Service threads = stage.start(forker("thread", 100), 2, {TrapClass::task});
    const Score with_threads = finish(threads);
    CHECK(with_threads.made == 100);
    CHECK(with_threads.refused == 0);
    Service forks = stage.start(forker("fork", 5), 2, {TrapClass::task});
    CHECK(finish(forks).refused == 5);
}

TEST_CASE("a raised limit lets the next one in, a process that was moved counts where it is") {
    Stage stage;
    stage.limit(2, 1);
    stage.limit(3, 2);
    Service service = stage.start(forker("fork", 50), 2, {TrapClass::task});
    stage.move(service.started.pid, service.key, 3);
    const Score moved = finish(service);
    CHECK(moved.made == 50);
    CHECK(moved.refused == 0);
    CHECK(stage.failcnt(2) == 0);

    Service other = stage.start(forker("fork", 50), 2, {TrapClass::task});
    stage.limit(2, 2);
    CHECK(finish(other).refused == 0);
}

TEST_CASE("without a limit in sight forks go straight through") {
    Stage stage;
    Service service = stage.start(forker("fork", 2000), 2, {TrapClass::task});
    const Score score = finish(service);
    CHECK(score.refused == 0);
    CHECK(stage.recounts() == 0);
}

TEST_CASE("gpc-enforce is killed a hundred times and no fork fails for it") {
    const auto seed = std::random_device{}();
    INFO("seed " << seed);
    std::mt19937 random(seed);
    Stage stage;
    stage.count_members = count_family;
    stage.limit(2, 2);
    Service service = stage.start(forker("fork", 10000), 2, {TrapClass::task});
    Stage::go(service);
    int kills = 0;
    while (kills < 100 && !readable(service.output.get(), std::chrono::milliseconds(random() % 15))) {
        const std::uint64_t before = stage.restarts();
        stage.kill_enforcer();
        for (int i = 0; i < 1000 && stage.restarts() == before; ++i) {
            usleep(200);
        }
        ++kills;
    }
    const Score score = score_of(read_all(service.output));
    wait_for_end(service.started);
    INFO("kills " << kills << ", restarts " << stage.restarts());
    CHECK(kills >= 50);
    CHECK(score.made == 10000);
    CHECK(score.refused == 0);
    CHECK(stage.failcnt(2) == 0);
}

TEST_CASE("gpc-enforce is killed a hundred times under a fork bomb, which never gets over its limit") {
    const auto seed = std::random_device{}();
    INFO("seed " << seed);
    std::mt19937 random(seed);
    Stage stage;
    stage.limit(2, 20);
    Service bomb = stage.start(forker("bomb", 4000), 2, {TrapClass::task});
    const PidsCgroup cgroup;
    if (cgroup.usable()) {
        cgroup.add(bomb.started.pid);
    }
    Stage::go(bomb);
    std::uint64_t most = 0;
    int kills = 0;
    while (!readable(bomb.output.get(), std::chrono::milliseconds(random() % 20))) {
        most = std::max(most, count_session(bomb.started.pid).tasks);
        if (kills < 100) {
            const std::uint64_t before = stage.restarts();
            stage.kill_enforcer();
            for (int i = 0; i < 1000 && stage.restarts() == before; ++i) {
                most = std::max(most, count_session(bomb.started.pid).tasks);
            }
            ++kills;
        }
    }
    const Score score = score_of(read_all(bomb.output));
    wait_for_end(bomb.started);
    INFO("kills " << kills << ", made " << score.made << ", refused " << score.refused);
    CHECK(kills >= 50);
    CHECK(most <= 20);
    CHECK(score.refused > 0);
    CHECK((score.error == EAGAIN || score.error == 0));
    if (cgroup.usable()) {
        CHECK(cgroup.peak() <= 20);
    }
    reap_everything();
}

TEST_CASE("gpc-enforce dies between the count that a request waits for and its answer") {
    Stage stage;
    stage.limit(2, 1);
    Service service = stage.start(forker("fork", 1), 2, {TrapClass::task});
    stage.pause_supervisor();
    Stage::go(service);
    const bool parked = stage.received_settles(1, 10s);
    stage.stop_enforcer();
    stage.resume_supervisor();
    REQUIRE(parked);
    const auto until = std::chrono::steady_clock::now() + 10s;
    while (stage.recounts() == 0 && std::chrono::steady_clock::now() < until) {
        std::this_thread::yield();
    }
    stage.pause_supervisor();  // when it has counted
    stage.resume_supervisor();
    REQUIRE(stage.recounts() > 0);
    stage.swallow_answer();
    stage.kill_enforcer();
    // Nobody else asks for anything, so nothing but this request itself wakes the successor up.
    REQUIRE(readable(service.output.get(), 20s));
    CHECK(score_of(read_all(service.output)).refused == 1);
    wait_for_end(service.started);
}

TEST_CASE("while gpcsupd is away the edge waits and nothing fails") {
    Stage stage;
    stage.limit(2, 2);
    Service service = stage.start(forker("fork", 200), 2, {TrapClass::task});
    Service free = stage.start(forker("fork", 500), 3, {TrapClass::task});
    stage.pause_supervisor();
    Stage::go(service);
    const std::string output = [&] {
        Stage::go(free);
        return read_all(free.output);  // not limited: must not notice
    }();
    CHECK(score_of(output).refused == 0);
    CHECK_FALSE(readable(service.output.get(), 300ms));
    stage.resume_supervisor();
    CHECK(score_of(read_all(service.output)).refused == 0);
    wait_for_end(service.started);
    wait_for_end(free.started);
}

TEST_CASE("callers of one service that wait for an answer leave room for everybody else's") {
    constexpr long crowd_size = wire::pending_count + 88;
    Stage stage;
    Service crowd = stage.start(forker("crowd", crowd_size), 2, {TrapClass::affinity});
    Service neighbour = stage.start(forker("fork", 300), 3, {TrapClass::task});
    stage.pause_supervisor();
    Stage::go(crowd);
    const bool filled = stage.received_settles(wire::pending_count / 2, 60s);
    Stage::go(neighbour);
    const bool went_on = readable(neighbour.output.get(), 60s);
    stage.resume_supervisor();
    CHECK(filled);
    CHECK(went_on);
    CHECK(score_of(read_all(neighbour.output)).refused == 0);
    const Score score = score_of(read_all(crowd.output));
    CHECK(score.made == crowd_size);
    CHECK(score.refused == 0);
    wait_for_end(crowd.started);
    wait_for_end(neighbour.started);
}

TEST_CASE("a wake-up that died with its gpcsupd is given again") {
    Stage stage;
    stage.limit(2, 2);
    Service service = stage.start(forker("fork", 5), 2, {TrapClass::task});
    stage.swallow_wakeup();
    const Score score = finish(service);
    CHECK(stage.swallowed());
    CHECK(score.made == 5);
    CHECK(score.refused == 0);
}

TEST_CASE("a table of another version: who waits is answered, and gpc-enforce makes place") {
    Stage stage;
    stage.limit(2, 1);
    Service service = stage.start(forker("fork", 5), 2, {TrapClass::task});
    stage.pause_supervisor();
    Stage::go(service);
    REQUIRE(stage.received_settles(1, 30s));
    const std::uint64_t before = stage.restarts();
    stage.deliver_table_of_another_version();
    stage.resume_supervisor();
    const Score score = score_of(read_all(service.output));
    CHECK(score.refused == 5);
    CHECK(score.error == EAGAIN);
    wait_for_end(service.started);
    CHECK(stage.restarts() == before + 1);
}

TEST_CASE("a listener whose processes have gone is given back") {
    Stage stage;
    stage.limit(2, 5);
    Service service = stage.start(forker("fork", 5), 2, {TrapClass::task});
    finish(service);
    CHECK(stage.all_listeners_dropped(5s));
}

TEST_CASE(
    "a filtered service of root keeps its privileges, one without CAP_SYS_ADMIN promises to gain none") {
    Stage stage;
    auto request = request_for({"/bin/grep", "-E", "^(NoNewPrivs|Seccomp):", "/proc/self/status"});
    Service service = stage.start(request, 2, {TrapClass::task});
    const std::string output = read_all(service.output);
    wait_for_end(service.started);
    CHECK(output == (geteuid() == 0 ? "NoNewPrivs:\t0\nSeccomp:\t2\n" : "NoNewPrivs:\t1\nSeccomp:\t2\n"));
}

TEST_CASE("sched_setaffinity of a member is performed within its group's mask") {
    if (sysconf(_SC_NPROCESSORS_ONLN) < 2) {
        WARN("skipped: one CPU only");
        return;
    }
    Stage stage;
    stage.allowed_cpus = *base::parse_cpu_list("1");
    struct Row {
        const char* asked;
        const char* answer;
    };
    const Row rows[] = {{"3", "errno 0 mask 2\n"}, {"2", "errno 0 mask 2\n"}, {"0", "errno 22 mask 3\n"}};
    for (const Row& row : rows) {
        auto request = request_for({support_program("forker"), "affinity", row.asked});
        request.affinity = {3};
        Service service = stage.start(request, 2, {TrapClass::affinity});
        Stage::go(service);
        INFO("asked for " << row.asked);
        CHECK(read_all(service.output) == row.answer);
        wait_for_end(service.started);
    }
    auto outside = request_for({support_program("forker"), "affinity", "1"});
    outside.affinity = {3};
    Service service = stage.start(outside, 2, {TrapClass::affinity});
    Stage::go(service);
    CHECK(read_all(service.output) == "errno 22 mask 3\n");
    wait_for_end(service.started);
}

TEST_CASE("a mask on a page that never comes costs one reader and nobody else") {
    Stage stage;
    auto request = request_for({support_program("forker"), "affinity-hang", "0"});
    Service hanging = stage.start(request, 2, {TrapClass::affinity});
    auto normal = request_for({support_program("forker"), "affinity", "1"});
    Service other = stage.start(normal, 2, {TrapClass::affinity});
    Stage::go(hanging);
    Stage::go(other);
    CHECK(read_all(other.output) == "errno 0 mask 1\n");
    const std::string output = read_all(hanging.output);
    wait_for_end(hanging.started);
    wait_for_end(other.started);
    if (output.starts_with("errno -1")) {
        WARN("skipped: userfaultfd is not permitted here");
        return;
    }
    CHECK(output.starts_with("errno 14 "));
}
