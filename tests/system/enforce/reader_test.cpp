// The pool around the real gpc-reader: whom it waits for, and for how long.

#include <cerrno>
#include <csignal>
#include <optional>

#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>

#include "launch/reader_pool.h"
#include "stage.h"

using namespace gpcsup;

namespace {

using Clock = std::chrono::steady_clock;

// The children of this thread. A case of this file is a process of its own, so they are the pool's readers.
std::vector<pid_t> children() {
    std::FILE* file = std::fopen("/proc/thread-self/children", "re");
    REQUIRE(file != nullptr);
    std::vector<pid_t> all;
    for (int pid = 0; std::fscanf(file, "%d", &pid) == 1;) {
        all.push_back(pid);
    }
    (void)std::fclose(file);
    return all;
}

void signal_stopped(const std::vector<pid_t>& readers, int signal) {
    for (const pid_t pid : readers) {
        REQUIRE(kill(pid, signal) == 0);
        siginfo_t information{};
        REQUIRE(waitid(P_PID, static_cast<id_t>(pid), &information,
                       (signal == SIGSTOP ? WSTOPPED : WCONTINUED)) == 0);
    }
}

// One reading of this process's own memory. This thread is in no system call of that number, so a reader that
// does its work says ESTALE (or EPERM, where it may not look), and never EFAULT.
struct Reading {
    explicit Reading(launch::ReaderPool& of) : pool(of) {
        wire::ReadRequest request;
        request.tid = getpid();
        request.call = 9999;
        request.address = reinterpret_cast<std::uint64_t>(&word);
        request.length = sizeof(word);
        pool.read(request, [this](const base::Result<std::vector<std::uint8_t>>& result) {
            error = result ? 0 : result.error().code;
        });
    }

    // What an event loop does, until there is an answer or that moment has come.
    void run_until(Clock::time_point end) {
        while (!error && Clock::now() < end) {
            std::vector<pollfd> watched;
            for (const int descriptor : pool.descriptors()) {
                watched.push_back({descriptor, POLLIN, 0});
            }
            const auto next = std::min(end, pool.deadline().value_or(end));
            const auto left = std::chrono::ceil<std::chrono::milliseconds>(next - Clock::now());
            if (poll(watched.data(), watched.size(), static_cast<int>(std::max(0L, left.count()))) > 0) {
                for (const pollfd& one : watched) {
                    if (one.revents != 0) {
                        pool.on_readable(one.fd);
                    }
                }
            }
            pool.on_deadline(Clock::now());
        }
    }

    launch::ReaderPool& pool;
    std::uint64_t word = 42;
    std::optional<int> error;
};

}  // namespace

TEST_CASE("a reader that has not begun yet is waited for") {
    launch::ReaderPool pool(test::program("gpc-reader"));
    REQUIRE(pool.warm_up());
    const auto readers = children();
    REQUIRE(readers.size() == 2);
    signal_stopped(readers, SIGSTOP);
    Reading reading(pool);
    reading.run_until(Clock::now() + std::chrono::milliseconds(400));  // eight times its time
    CHECK_FALSE(reading.error);
    signal_stopped(readers, SIGCONT);
    reading.run_until(Clock::now() + std::chrono::seconds(30));
    REQUIRE(reading.error);
    CHECK((*reading.error == ESTALE || *reading.error == EPERM));
    CHECK(children() == readers);
}

TEST_CASE("a reader that never begins is replaced after two seconds") {
    launch::ReaderPool pool(test::program("gpc-reader"));
    REQUIRE(pool.warm_up());
    const auto readers = children();
    signal_stopped(readers, SIGSTOP);
    Reading reading(pool);
    const auto begun = Clock::now();
    reading.run_until(begun + std::chrono::seconds(30));
    REQUIRE(reading.error);
    CHECK(*reading.error == EFAULT);
    CHECK(Clock::now() - begun >= std::chrono::seconds(2));
}
