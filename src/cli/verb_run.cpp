// run: a command in groups and under limits of its own, as if it were a child of this shell.

#include <fcntl.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <optional>

#include "cli/command.h"
#include "cli/handlers.h"
#include "cli/session.h"
#include "cli/terminal.h"

namespace gpcsup::cli {

namespace {

constexpr std::chrono::seconds drain_patience{1};

// What is passed on to the command instead of ending this client.
base::Result<base::Fd> take_signals() {
    sigset_t set;
    sigemptyset(&set);
    for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2, SIGWINCH}) {
        sigaddset(&set, signal);
    }
    if (::sigprocmask(SIG_BLOCK, &set, nullptr) < 0) {
        return base::fail(errno, "block", "signals");
    }
    base::Fd signals(::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
    if (!signals) {
        return base::fail(errno, "make", "a signalfd");
    }
    return signals;
}

// Tends signals and the terminal while the supervisor is waited for.
class Attendant : public control::Companion {
  public:
    Attendant(base::Fd signals, std::optional<Relay> relay)
        : signals_(std::move(signals)), relay_(std::move(relay)) {}

    void watch(std::vector<pollfd>& descriptors) override {
        descriptors.push_back({signals_.get(), POLLIN, 0});
        if (relay_) {
            relay_->watch(descriptors);
        }
    }

    control::Attention tend(std::span<const pollfd> descriptors) override {
        read_signals();
        if (relay_) {
            relay_->tend(descriptors);
        }
        return pending_.empty() ? control::Attention::go_on : control::Attention::interrupt;
    }

    [[nodiscard]] std::vector<int> take_pending() { return std::exchange(pending_, {}); }
    void finish() {
        if (relay_) {
            relay_->drain(drain_patience);
        }
    }

  private:
    void read_signals() {
        signalfd_siginfo info;
        while (::read(signals_.get(), &info, sizeof info) == sizeof info) {
            const int signal = static_cast<int>(info.ssi_signo);
            if (signal != SIGWINCH) {
                pending_.push_back(signal);
            } else if (relay_) {
                relay_->take_window_size(STDIN_FILENO);
            }
        }
    }

    base::Fd signals_;
    std::optional<Relay> relay_;
    std::vector<int> pending_;
};

// A pty only where this is the foreground job of a terminal: a background job may not change its settings.
bool has_terminal() {
    return ::isatty(STDIN_FILENO) == 1 && ::isatty(STDOUT_FILENO) == 1 &&
           ::tcgetpgrp(STDIN_FILENO) == ::getpgrp();
}

Surroundings surroundings() {
    Surroundings around;
    if (char* directory = ::get_current_dir_name(); directory != nullptr) {
        around.directory = directory;
        std::free(directory);
    }
    for (char** variable = environ; *variable != nullptr; ++variable) {
        around.environment.emplace_back(*variable);
    }
    return around;
}

// As a terminal would: Ctrl-C reaches the whole job, other signals whom they were sent to. A command that has
// not started yet is not to start at all.
base::Result<> pass_signal(control::Client& client, const std::string& unit, int signal) {
    const auto whom = signal == SIGINT ? control::Whom::all : control::Whom::main;
    auto sent = client.kill(unit, signal, whom);
    if (sent) {
        return {};
    }
    if (sent.error().code == ESRCH && (signal == SIGINT || signal == SIGTERM || signal == SIGHUP)) {
        auto stopped = client.order(control::JobVerb::stop, {unit});
        if (stopped || stopped.error().code == ESRCH || stopped.error().code == ENOENT) {
            return {};
        }
        return base::pass(stopped);
    }
    const int code = sent.error().code;
    const bool over = code == ESRCH || code == ENOENT || code == EPIPE;  // it ended meanwhile; Wait will tell
    return over ? base::Result<>() : base::pass(sent);
}

base::Result<Outcome> wait_for_end(control::Client& client, const control::Running& running,
                                   Attendant& attendant) {
    for (;;) {
        auto answer = client.wait(running.job, std::chrono::microseconds(0), &attendant);
        if (!answer && answer.error().code != EINTR) {
            return base::pass(answer);
        }
        if (answer) {
            auto settled = parse_answer(*answer);
            if (!settled) {
                return base::pass(settled);
            }
            const Json& units = list_of(*settled, "units");
            return outcome_of(units.empty() ? Json::object() : units.front());
        }
        for (const int signal : attendant.take_pending()) {
            if (auto passed = pass_signal(client, running.unit, signal); !passed) {
                return base::pass(passed);
            }
        }
    }
}

int say(const Outcome& outcome) {
    if (!outcome.complaint.empty()) {
        complain(outcome.complaint);
    }
    return outcome.exit_status;
}

// Detached: the job is over when the command has started.
base::Result<int> start_detached(Session& session, control::Client& client, const control::Running& running) {
    auto answer = client.wait(running.job, std::chrono::microseconds(0));
    auto settled = answer ? parse_answer(*answer) : base::Result<Json>(std::unexpected(answer.error()));
    if (!settled) {
        return base::pass(settled);
    }
    if (truth_of(*settled, "ok") == Truth::no) {
        const Json& units = list_of(*settled, "units");
        return say(outcome_of(units.empty() ? Json::object() : units.front()));
    }
    if (!session.quiet()) {
        print_line(running.unit);
    }
    return 0;
}

base::Result<int> run_here(control::Client& client, const std::string& request, std::optional<Pty> pty) {
    auto signals = take_signals();
    if (!signals) {
        return base::pass(signals);
    }
    control::RunRequest call{request, {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}};
    base::Fd null;
    if (pty) {
        const int slave = pty->slave.get();
        call.descriptors = {slave, slave, ::isatty(STDERR_FILENO) == 1 ? slave : STDERR_FILENO};
    } else if (::isatty(STDIN_FILENO) == 1 && ::tcgetpgrp(STDIN_FILENO) != ::getpgrp()) {
        null.reset(::open(
            "/dev/null", O_RDONLY | O_CLOEXEC));  // a background job does not take the keys of the foreground
        call.descriptors[0] = null.get();
    }
    auto running = client.run(call);
    if (!running) {
        return base::pass(running);
    }
    std::optional<RawMode> raw;
    std::optional<Relay> relay;
    if (pty) {
        auto entered = RawMode::enter(STDIN_FILENO);
        if (!entered) {
            return base::pass(entered);
        }
        raw.emplace(std::move(*entered));
        pty->slave.reset();  // or its end would never be seen
        relay.emplace(STDIN_FILENO, STDOUT_FILENO, std::move(pty->master));
    }
    Attendant attendant(std::move(*signals), std::move(relay));
    auto outcome = wait_for_end(client, *running, attendant);
    attendant.finish();
    raw.reset();
    return outcome ? base::Result<int>(say(*outcome)) : base::pass(outcome);
}

}  // namespace

base::Result<int> do_run(Session& session) {
    const Surroundings around = surroundings();
    const char* path = std::getenv("PATH");
    auto executable = find_command(session.words()[0],
                                   path != nullptr ? path : "/usr/local/bin:/usr/bin:/bin", around.directory);
    if (!executable) {
        complain(executable.error().message());
        return executable.error().code == ENOENT ? run_not_found : run_not_executable;
    }
    const bool detach = session.arguments().has("--detach");
    std::optional<Pty> pty;
    if (!detach && has_terminal()) {
        auto opened = open_pty(STDIN_FILENO);
        if (!opened) {
            return base::pass(opened);
        }
        pty.emplace(std::move(*opened));
    }
    const auto streams = pty ? Streams::terminal : Streams::as_they_are;
    auto request = run_request(session.arguments(), *executable, around, streams);
    if (!request) {
        return base::pass(request);
    }
    auto client = session.client();
    if (!client) {
        return base::pass(client);
    }
    if (!detach) {
        return run_here(**client, *request, std::move(pty));
    }
    auto running = (*client)->run({*request, {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}});
    return running ? start_detached(session, **client, *running) : base::pass(running);
}

}  // namespace gpcsup::cli
