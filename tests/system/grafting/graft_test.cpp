// Real processes, grafted while they work: what each of their threads was doing goes on as if nothing had
// been, and from then on their forks ask.

#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <csignal>
#include <filesystem>
#include <fstream>

#include "system/grafting/operation.h"

using namespace gpcsup;
using namespace gpcsup::test;
using wire::GraftMode;
using wire::GraftOutcome;

namespace {

// All threads have the filter, it is answered for, and nobody has noticed anything.
void check_enforced(Victim& victim, Keeper& keeper, const wire::GraftAnswer& answer) {
    INFO("outcome " << static_cast<int>(answer.outcome) << ", errno " << answer.error << ", threads stopped "
                    << answer.attempts << ", " << answer.stopped_ns / 1000 << " us");
    CHECK(answer.outcome == GraftOutcome::enforced);
    CHECK(filtered_threads(victim.pid()) == static_cast<int>(threads_of(victim.pid()).size()));
    CHECK(listeners_in(victim.pid()) == 0);
    const int before = keeper.trapped();
    CHECK(victim.ask('f') == "ok");
    CHECK(victim.ask('t') == "ok");
    CHECK(keeper.trapped() == before + 2);
    keeper.refuse(EAGAIN);
    CHECK(victim.ask('f') == "errno 11");
    keeper.refuse(0);
    CHECK(victim.ask('e') == "ok");
    CHECK(victim.ask('w') == "0");
}

void check_untouched(Victim& victim, const Keeper& keeper) {
    CHECK(keeper.handed_over() == 0);
    CHECK(listeners_in(victim.pid()) == 0);
    CHECK(victim.ask('f') == "ok");
    CHECK(keeper.trapped() == 0);
    CHECK(victim.ask('e') == "ok");
    CHECK(victim.ask('w') == "0");
}

void check_roles(std::vector<std::string> roles, Filter filter = Filter::tasks) {
    if (!possible()) {
        return;
    }
    Victim victim(std::move(roles));
    Keeper keeper;
    check_enforced(victim, keeper, graft(victim, keeper, GraftMode::fresh, filter));
    CHECK(keeper.handed_over() == 1);
}

}  // namespace

TEST_CASE("a process of one thread that waits for input") {
    check_roles({});
}

TEST_CASE("a thread on its own instructions keeps all its registers") {
    check_roles({"user"});
}

TEST_CASE("threads that sleep, poll, and wait for a futex or for events") {
    check_roles({"nanosleep", "poll", "futex", "epoll", "epoll-timed"});
}

TEST_CASE("data under way through pipes arrive unharmed") {
    check_roles({"writer", "reader", "user"});
}

TEST_CASE("the filter of all open files is larger than a page") {
    check_roles({"user", "futex", "nanosleep"}, Filter::files);
}

TEST_CASE("a signal under way to a thread in sigsuspend is not lost") {
    if (!possible()) {
        return;
    }
    for (int round = 0; round < 8; ++round) {
        Victim victim({"sigsuspend"});
        Keeper keeper;
        int sent = 0;
        std::jthread sender([&](const std::stop_token& stop) {
            while (!stop.stop_requested() && sent < 100000) {
                kill(victim.pid(), SIGUSR1);
                ++sent;
                std::this_thread::sleep_for(std::chrono::microseconds(200));
            }
        });
        const wire::GraftAnswer answer = graft(victim, keeper);
        sender.request_stop();
        sender.join();
        check_enforced(victim, keeper, answer);
        // It waits again: one more is handled, so none before has been taken for another.
        const int before = std::stoi(victim.ask('u'));
        kill(victim.pid(), SIGUSR1);
        const auto until = std::chrono::steady_clock::now() + 10s;
        int after = before;
        while (after == before && std::chrono::steady_clock::now() < until) {
            after = std::stoi(victim.ask('u'));
        }
        CHECK(after == before + 1);
    }
}

TEST_CASE("a thread with a filter of its own beside a clean leader: the process is left alone") {
    if (!possible()) {
        return;
    }
    Victim victim({"filtered", "user"});
    REQUIRE(victim.ask('e') == "ok");
    Keeper keeper;
    const wire::GraftAnswer answer = graft(victim, keeper);
    CHECK(answer.outcome == GraftOutcome::own_filter);
    CHECK(answer.other != victim.pid());
    CHECK(filtered_threads(victim.pid()) == 1);
    check_untouched(victim, keeper);
}

TEST_CASE("the promise no_new_privs of one thread does not spread") {
    if (!possible()) {
        return;
    }
    Victim victim({"promise", "nanosleep"});
    REQUIRE(victim.ask('e') == "ok");
    Keeper keeper;
    check_enforced(victim, keeper, graft(victim, keeper));
    int promised = 0;
    for (const pid_t thread : threads_of(victim.pid())) {
        promised += status_line(victim.pid(), thread, "NoNewPrivs") == "1" ? 1 : 0;
    }
    CHECK(promised == 1);
}

TEST_CASE("without privileges all threads must have promised no_new_privs") {
    if (!possible()) {
        return;
    }
    constexpr uid_t nobody = 65534;
    Keeper keeper;
    Victim bare({"user"}, {nobody, Victim::Options::Promise::none, ""});
    CHECK(graft(bare, keeper).outcome == GraftOutcome::needs_promise);
    check_untouched(bare, keeper);
    Victim half({"promise", "user"}, {nobody, Victim::Options::Promise::none, ""});
    REQUIRE(half.ask('e') == "ok");
    CHECK(graft(half, keeper).outcome == GraftOutcome::needs_promise);
    check_untouched(half, keeper);
    Victim promised({"user", "epoll"}, {nobody, Victim::Options::Promise::made, ""});
    check_enforced(promised, keeper, graft(promised, keeper));
}

TEST_CASE("what a debugger traces is not disturbed") {
    if (!possible()) {
        return;
    }
    Victim victim({"user"});
    Keeper keeper;
    REQUIRE(ptrace(PTRACE_SEIZE, victim.pid(), nullptr, nullptr) == 0);
    const wire::GraftAnswer answer = graft(victim, keeper);
    CHECK(answer.outcome == GraftOutcome::traced);
    CHECK(answer.other == getpid());
    REQUIRE(ptrace(PTRACE_INTERRUPT, victim.pid(), nullptr, nullptr) == 0);
    REQUIRE(waitpid(victim.pid(), nullptr, __WALL) == victim.pid());
    REQUIRE(ptrace(PTRACE_DETACH, victim.pid(), nullptr, nullptr) == 0);
    check_untouched(victim, keeper);
}

TEST_CASE("a 32-bit program is known by its file") {
    if (!possible()) {
        return;
    }
    // One segment that is the whole file: pause(), again and again.
    const unsigned char image[] = {
        0x7f, 'E',  'L',  'F',  1,    1,    1,    0,    0,    0,    0,    0,    0,    0, 0, 0, 2, 0, 3, 0,
        1,    0,    0,    0,    0x54, 0x80, 0x04, 0x08, 52,   0,    0,    0,    0,    0, 0, 0, 0, 0, 0, 0,
        52,   0,    32,   0,    1,    0,    0,    0,    0,    0,    0,    0,    1,    0, 0, 0, 0, 0, 0, 0,
        0,    0x80, 0x04, 0x08, 0,    0x80, 0x04, 0x08, 0x60, 0,    0,    0,    0x60, 0, 0, 0, 5, 0, 0, 0,
        0,    0x10, 0,    0,    0xb8, 29,   0,    0,    0,    0xcd, 0x80, 0xeb, 0xf7, 0, 0, 0};
    const std::string path =
        std::filesystem::temp_directory_path() / ("gpcsup-i386-" + std::to_string(getpid()));
    std::ofstream(path, std::ios::binary).write(reinterpret_cast<const char*>(image), sizeof(image));
    chmod(path.c_str(), 0755);
    Victim victim({}, {std::nullopt, Victim::Options::Promise::none, path});
    const auto until = std::chrono::steady_clock::now() + 5s;
    std::error_code error;
    const std::string link = "/proc/" + std::to_string(victim.pid()) + "/exe";
    while (std::filesystem::read_symlink(link, error) != path &&
           !status_line(victim.pid(), victim.pid(), "State").starts_with("Z") &&
           std::chrono::steady_clock::now() < until) {
        std::this_thread::yield();
    }
    std::filesystem::remove(path);
    if (status_line(victim.pid(), victim.pid(), "State").starts_with("Z")) {
        WARN("skipped: this kernel runs no 32-bit programs");
        return;
    }
    Keeper keeper;
    CHECK(graft(victim, keeper).outcome == GraftOutcome::other_abi);
    CHECK(status_line(victim.pid(), victim.pid(), "Seccomp") == "0");
}

TEST_CASE("a leader that has ended leaves threads to be borrowed") {
    if (!possible()) {
        return;
    }
    Victim victim({"nanosleep", "leader-ends"});
    Keeper keeper;
    const auto until = std::chrono::steady_clock::now() + 5s;
    while (!status_line(victim.pid(), victim.pid(), "State").starts_with("Z") &&
           std::chrono::steady_clock::now() < until) {
        std::this_thread::yield();
    }
    const wire::GraftAnswer answer = graft(victim, keeper);
    CHECK(answer.outcome == GraftOutcome::enforced);
    CHECK(answer.thread != victim.pid());
    CHECK(listeners_in(victim.pid()) == 0);
    CHECK(victim.ask('f') == "ok");
    CHECK(keeper.trapped() == 1);
    CHECK(victim.ask('w') == "0");
}

TEST_CASE("a thread with descriptors of its own") {
    check_roles({"unshared"});
}

TEST_CASE("a stopped process is grafted and stays stopped") {
    if (!possible()) {
        return;
    }
    Victim victim({"user", "nanosleep"});
    Keeper keeper;
    kill(victim.pid(), SIGSTOP);
    int status = 0;
    REQUIRE(waitpid(victim.pid(), &status, WUNTRACED) == victim.pid());
    const wire::GraftAnswer answer = graft(victim, keeper);
    CHECK(answer.outcome == GraftOutcome::enforced);
    const auto until = std::chrono::steady_clock::now() + 5s;
    const auto stopped = [&] {
        for (const pid_t thread : threads_of(victim.pid())) {
            if (!status_line(victim.pid(), thread, "State").starts_with("T")) {
                return false;
            }
        }
        return true;
    };
    while (!stopped() && std::chrono::steady_clock::now() < until) {
        std::this_thread::yield();
    }
    CHECK(stopped());
    kill(victim.pid(), SIGCONT);
    check_enforced(victim, keeper, answer);
}
