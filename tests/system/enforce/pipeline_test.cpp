// dash has a SIGCHLD handler without SA_RESTART: a signal between the trap of a fork and its reception makes
// fork fail with EINTR, and nothing in userspace can undo it. What can be asked is that gpc-enforce, with a
// limit to watch, is hardly ever slower to receive than a program that does nothing else. Also the figures of
// bench/: run with [bench].

#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cstdio>
#include <cstdlib>

#include "system/enforce/stage.h"

using namespace gpcsup;
using namespace gpcsup::test;
using wire::TrapClass;

namespace {

using Clock = std::chrono::steady_clock;

struct Pipelines {
    long loops = 0;
    long broken = 0;
};

// Runs the pipeline over and over until time is up; a shell that could not fork says so and ends, and the
// next one starts.
Pipelines run_pipelines(Stage& stage, std::chrono::milliseconds how_long) {
    const std::string script =
        "end=" + std::to_string(how_long.count() / 1000) +
        "; i=0; trap 'echo $i' EXIT; start=$(cut -d. -f1 /proc/uptime); now=$start; "
        "while [ $((now - start)) -lt $end ]; do n=0; while [ $n -lt 50 ]; do "
        "echo a | /bin/cat | /bin/cat | /bin/cat >/dev/null; i=$((i+1)); n=$((n+1)); done; "
        "read now rest </proc/uptime; now=${now%.*}; done";
    Pipelines result;
    const auto end = Clock::now() + how_long;
    while (Clock::now() < end) {
        auto request = request_for({"/bin/dash", "-c", script});
        Service service = stage.start(request, 2, {TrapClass::task});
        Stage::go(service);
        const std::string output = read_all(service.output);
        const int status = wait_for_end(service.started);
        result.loops += std::strtol(output.c_str(), nullptr, 10);
        if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
            ++result.broken;
        }
    }
    return result;
}

double forks_per_second(Service& service, long count) {
    const auto begin = Clock::now();
    Stage::go(service);
    read_all(service.output);
    wait_for_end(service.started);
    return static_cast<double>(count) / std::chrono::duration<double>(Clock::now() - begin).count();
}

}  // namespace

TEST_CASE("dash pipelines break hardly more often than under a bare responder") {
    Pipelines bare;
    Pipelines limited;
    // In turns, so that what else the machine does falls on both.
    for (int turn = 0; turn < 8; ++turn) {
        {
            Stage stage(Enforcer::bare);
            const Pipelines part = run_pipelines(stage, 1s);
            bare.loops += part.loops;
            bare.broken += part.broken;
        }
        Stage stage;
        stage.limit(2, 1000);
        const Pipelines part = run_pipelines(stage, 1s);
        limited.loops += part.loops;
        limited.broken += part.broken;
    }
    INFO("bare: " << bare.broken << " of " << bare.loops << ", limited: " << limited.broken << " of "
                  << limited.loops);
    REQUIRE(bare.loops > 0);
    REQUIRE(limited.loops > 0);
    // Twice the rate, and what chance alone adds to that many rare events (three standard deviations, at
    // least 3).
    const double expected = static_cast<double>(bare.broken) * static_cast<double>(limited.loops) /
                            static_cast<double>(bare.loops);
    CHECK(static_cast<double>(limited.broken) <= 2 * expected + 3 * std::sqrt(2 * expected + 1));
}

TEST_CASE("bash, python and perl loops never break under a limit") {
    const std::vector<std::vector<std::string>> programs = {
        {"/bin/bash", "-c",
         "for i in $(seq 300); do echo a | /bin/cat | /bin/cat >/dev/null || exit 1; done; echo fine"},
        {"/usr/bin/python3", "-c",
         "import os\nfor i in range(500):\n p=os.fork()\n if p==0: os._exit(0)\n "
         "os.waitpid(p,0)\nprint('fine')"},
        {"/usr/bin/perl", "-e",
         "for (1..500) { my $p = fork(); die unless defined $p; exit 0 if !$p; waitpid($p,0); } print "
         "qq(fine\\n);"}};
    Stage stage;
    stage.limit(2, 100);
    for (const auto& arguments : programs) {
        if (access(arguments.front().c_str(), X_OK) != 0) {
            continue;
        }
        INFO(arguments.front());
        Service service = stage.start(request_for(arguments), 2, {TrapClass::task});
        Stage::go(service);
        CHECK(read_all(service.output) == "fine\n");
        CHECK(wait_for_end(service.started) == 0);
    }
}

TEST_CASE("forks a second: no filter, a bare responder, under a limit, at its edge", "[.bench]") {
    constexpr long count = 10000;
    const auto request = request_for({support_program("forker"), "fork", std::to_string(count)});
    for (int turn = 0; turn < 3; ++turn) {
        const auto slots = std::move(*launch::StartSlots::create());
        auto plain = request;
        PipeEnds input = make_pipe();
        PipeEnds output = make_pipe();
        plain.standard_input = input.reader.get();
        plain.standard_output = output.writer.get();
        Service none;
        none.started = start_by_agent(plain, *slots);
        none.input = std::move(input.writer);
        none.output = std::move(output.reader);
        output.writer.reset();
        const double unfiltered = forks_per_second(none, count);
        const auto measure = [&](Enforcer enforcer, std::uint64_t limit) {
            Stage stage(enforcer);
            stage.count_members = count_family;
            if (limit != 0) {
                stage.limit(2, limit);
            }
            Service service = stage.start(request, 2, {TrapClass::task});
            return forks_per_second(service, count);
        };
        const double bare = measure(Enforcer::bare, 0);
        const double unlimited = measure(Enforcer::real, 0);
        const double limited = measure(Enforcer::real, 1'000'000);
        const double edge = measure(Enforcer::real, 2);
        std::printf(
            "forks/s: no filter %.0f, bare responder %.0f, no limit %.0f, limit %.0f, at the edge %.0f\n",
            unfiltered, bare, unlimited, limited, edge);
    }
}

// Opens and closes of a loop, as long as there is room: what every open costs that is not at an edge.
TEST_CASE("opens a second: no filter, a bare responder, under a limit", "[.bench]") {
    constexpr long count = 100000;
    const auto request = request_for({support_program("openers"), "edge", std::to_string(count)});
    for (int turn = 0; turn < 3; ++turn) {
        const auto measure = [&](Enforcer enforcer, std::uint64_t limit, TrapClass trapped) {
            Stage stage(enforcer);
            if (limit != 0) {
                stage.limit(2, limit, wire::BudgetKind::files);
            }
            Service service = stage.start(request, 2, {trapped});
            return forks_per_second(service, count);
        };
        // Forks are not trapped by an opener: a filter of that class is a filter that costs it nothing.
        const double untrapped = measure(Enforcer::bare, 0, TrapClass::task);
        const double bare = measure(Enforcer::bare, 0, TrapClass::file);
        const double unlimited = measure(Enforcer::real, 0, TrapClass::file);
        const double limited = measure(Enforcer::real, 1'000'000, TrapClass::file);
        std::printf("opens/s: not trapped %.0f, bare responder %.0f, no limit %.0f, limit %.0f\n", untrapped,
                    bare, unlimited, limited);
    }
}
