// The relay of `run` against real pseudo-terminals: the "outer" pty stands for the person's terminal, the
// relay's own is the command's.

#include "cli/terminal.h"

#include <fcntl.h>
#include <pty.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include <utmp.h>

#include <algorithm>
#include <array>
#include <catch2/catch.hpp>
#include <chrono>
#include <csignal>
#include <utility>

namespace cli = gpcsup::cli;
using gpcsup::base::Fd;
using Clock = std::chrono::steady_clock;

namespace {

struct Outer {  // what a terminal emulator holds, and what a shell would
    Fd emulator;
    Fd terminal;
    Outer() {
        int master = -1;
        int slave = -1;
        winsize size{40, 100, 0, 0};
        REQUIRE(::openpty(&master, &slave, nullptr, nullptr, &size) == 0);
        emulator.reset(master);
        terminal.reset(slave);
        ::fcntl(master, F_SETFL, O_NONBLOCK);
    }
};

// Runs the relay until WANTED shows on the outer terminal (or the command's terminal has ended); what was
// shown.
std::string relay_until(cli::Relay& relay, const Outer& outer, const std::string& wanted) {
    std::string shown;
    const auto end = Clock::now() + std::chrono::seconds(10);
    while (shown.find(wanted) == std::string::npos && Clock::now() < end) {
        std::vector<pollfd> descriptors;
        relay.watch(descriptors);
        descriptors.push_back({outer.emulator.get(), POLLIN, 0});
        ::poll(descriptors.data(), descriptors.size(), 1000);
        relay.tend(descriptors);
        std::array<char, 4096> buffer;
        const ssize_t length = ::read(outer.emulator.get(), buffer.data(), buffer.size());
        shown.append(buffer.data(), length > 0 ? static_cast<std::size_t>(length) : 0);
    }
    INFO(shown);
    CHECK(shown.find(wanted) != std::string::npos);
    return shown;
}

// A command on the pty; killed if the test does not see its end.
class Command {
  public:
    Command(const cli::Pty& pty, const char* script) : pid_(::fork()) {
        REQUIRE(pid_ >= 0);
        if (pid_ == 0) {
            ::login_tty(::dup(pty.slave.get()));
            ::execl("/bin/sh", "sh", "-c", script, static_cast<char*>(nullptr));
            ::_exit(127);
        }
    }
    Command(const Command&) = delete;
    Command& operator=(const Command&) = delete;
    ~Command() {
        if (pid_ > 0) {
            ::kill(pid_, SIGKILL);
            ::waitpid(pid_, nullptr, 0);
        }
    }
    int exit_code() {
        int status = 0;
        const int pidfd = static_cast<int>(::syscall(SYS_pidfd_open, pid_, 0));
        pollfd ended{pidfd, POLLIN, 0};
        REQUIRE(::poll(&ended, 1, 10000) == 1);
        ::close(pidfd);
        REQUIRE(::waitpid(std::exchange(pid_, -1), &status, 0) > 0);
        return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    }

  private:
    pid_t pid_;
};

void type(const Outer& outer, std::string_view keys) {
    REQUIRE(::write(outer.emulator.get(), keys.data(), keys.size()) == static_cast<ssize_t>(keys.size()));
}

}  // namespace

TEST_CASE("Keys reach the command, its output reaches the person, and raw mode ends as it began") {
    const Outer outer;
    termios before{};
    REQUIRE(::tcgetattr(outer.terminal.get(), &before) == 0);
    {
        // The command's terminal is opened first: it takes the settings of the terminal as the person has it.
        auto pty = cli::open_pty(outer.terminal.get());
        REQUIRE(pty);
        auto raw = cli::RawMode::enter(outer.terminal.get());
        REQUIRE(raw);
        Command command(*pty, "stty -echo; printf 'ready\\n'; read line; echo \"got <$line>\"; exit 5");
        pty->slave.reset();
        cli::Relay relay(outer.terminal.get(), outer.terminal.get(), std::move(pty->master));
        relay_until(relay, outer, "ready");
        type(outer, "hello\r");
        relay_until(relay, outer, "got <hello>");
        relay.drain(std::chrono::milliseconds(5000));
        CHECK(command.exit_code() == 5);
    }
    termios after{};
    REQUIRE(::tcgetattr(outer.terminal.get(), &after) == 0);
    CHECK(after.c_lflag == before.c_lflag);
    CHECK(after.c_iflag == before.c_iflag);
    CHECK(after.c_oflag == before.c_oflag);
}

TEST_CASE("Ctrl-C is a signal for the command, not for us") {
    const Outer outer;
    // The command's terminal is opened first: it takes the settings of the terminal as the person has it.
    auto pty = cli::open_pty(outer.terminal.get());
    REQUIRE(pty);
    auto raw = cli::RawMode::enter(outer.terminal.get());
    REQUIRE(raw);
    Command command(*pty, "trap 'echo caught; exit 3' INT; echo ready; while :; do sleep 0.05; done");
    pty->slave.reset();
    cli::Relay relay(outer.terminal.get(), outer.terminal.get(), std::move(pty->master));
    relay_until(relay, outer, "ready");
    type(outer, "\x03");
    relay_until(relay, outer, "caught");
    CHECK(command.exit_code() == 3);
}

TEST_CASE("The window's size is passed, also when it changes") {
    const Outer outer;
    auto pty = cli::open_pty(outer.terminal.get());
    REQUIRE(pty);
    Command command(*pty,
                    "stty size; trap 'stty size; exit' WINCH; echo ready; while :; do sleep 0.05; done");
    pty->slave.reset();
    cli::Relay relay(outer.terminal.get(), outer.terminal.get(), std::move(pty->master));
    CHECK(relay_until(relay, outer, "ready").find("40 100") != std::string::npos);
    const winsize size{50, 132, 0, 0};
    REQUIRE(::ioctl(outer.emulator.get(), TIOCSWINSZ, &size) == 0);
    relay.take_window_size(outer.terminal.get());
    relay_until(relay, outer, "50 132");
    CHECK(command.exit_code() == 0);
}

TEST_CASE("All output is there at the end, though the command has gone and the person reads slowly") {
    const Outer outer;
    auto pty = cli::open_pty(outer.terminal.get());
    REQUIRE(pty);
    auto raw = cli::RawMode::enter(outer.terminal.get());
    REQUIRE(raw);
    Command command(*pty, "i=0; while [ $i -lt 3000 ]; do echo line $i; i=$((i+1)); done; echo the end");
    pty->slave.reset();
    cli::Relay relay(outer.terminal.get(), outer.terminal.get(), std::move(pty->master));
    const std::string shown = relay_until(relay, outer, "the end");
    CHECK(shown.find("line 0\r\n") != std::string::npos);
    CHECK(shown.find("line 2999\r\n") != std::string::npos);
    CHECK(std::count(shown.begin(), shown.end(), '\n') >= 3000);
    CHECK(command.exit_code() == 0);
}

TEST_CASE("Draining does not wait longer than it may for a terminal that somebody keeps open") {
    const Outer outer;
    auto pty = cli::open_pty(outer.terminal.get());
    REQUIRE(pty);
    const Fd kept = std::move(pty->slave);
    cli::Relay relay(outer.terminal.get(), outer.terminal.get(), std::move(pty->master));
    const auto begin = Clock::now();
    relay.drain(std::chrono::milliseconds(200));
    CHECK(Clock::now() - begin < std::chrono::seconds(5));
}
