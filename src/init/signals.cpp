#include "init/signals.h"

#include <signal.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <cstring>

#include "init/say.h"

namespace gpcsup::init {

namespace {

constexpr int fatal_signals[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGTRAP, SIGSYS, SIGXCPU};
constexpr int decided_signals[] = {SIGTERM, SIGINT, SIGHUP, SIGPWR, SIGUSR1, SIGUSR2, SIGQUIT, SIGWINCH};
constexpr Nanoseconds strike_window = 10 * second;
constexpr unsigned strikes_allowed = 3;
constexpr Nanoseconds insist_window = 2 * second;
constexpr unsigned insist_count = 7;
constexpr std::size_t handler_stack_size = 65536;
constexpr int given_up_status = 70;

// Signals as the kernel has them: a C library keeps two or three to itself, leaves them out of every set and
// refuses to speak of them. One of those would end a gpc-init that is not PID 1.
using KernelSet = std::uint64_t;
constexpr int last_signal = 64;

struct KernelAction {
    void (*handler)(int) = SIG_DFL;
    unsigned long flags = 0;
    void (*restorer)() = nullptr;
    KernelSet mask = 0;
};

constexpr KernelSet only(int number) {
    return KernelSet{1} << (number - 1);
}

void set_mask(const KernelSet& mask) {
    syscall(SYS_rt_sigprocmask, SIG_SETMASK, &mask, nullptr, sizeof mask);
}

State* the_state;
alignas(16) char handler_stack[handler_stack_size];

// Async-signal-safe, so not say().
void write_fatal(int number) {
    char line[] = "gpc-init: fatal signal ??, replacing itself\n";
    char* place = strchr(line, '?');
    place[0] = static_cast<char>('0' + number / 10);
    place[1] = static_cast<char>('0' + number % 10);
    [[maybe_unused]] auto written = write(STDERR_FILENO, line, sizeof line - 1);
}

void on_fatal(int number) {
    State& state = *the_state;
    if (getpid() != state.pid) {
        signal(number, SIG_DFL);  // a child on its way to its own program: State is not its own
        raise(number);
        return;
    }
    write_fatal(number);
    state.fatal_at[state.fatal_count % strikes_allowed] = now();
    ++state.fatal_count;
    replace_self(state);
    if (state.role == Role::machine) {
        // Nothing else is left that keeps the kernel from panicking and that a person could use.
        char name[] = "sh";
        char* arguments[] = {name, nullptr};
        char* environment[] = {nullptr};
        execve("/bin/sh", arguments, environment);
    }
    _exit(given_up_status);
}

void install_fatal_handlers() {
    stack_t stack{};
    stack.ss_sp = handler_stack;
    stack.ss_size = sizeof handler_stack;
    sigaltstack(&stack, nullptr);
    struct sigaction action {};
    action.sa_handler = on_fatal;
    action.sa_flags = SA_ONSTACK;
    sigfillset(&action.sa_mask);
    for (int number : fatal_signals) {
        sigaction(number, &action, nullptr);
    }
}

bool is_decided(int number) {
    for (int decided : decided_signals) {
        if (decided == number) {
            return true;
        }
    }
    return false;
}

// Is this the seventh within the window?
bool insists() {
    static Nanoseconds times[insist_count];
    static unsigned count;
    times[count % insist_count] = now();
    ++count;
    return count >= insist_count && now() - times[count % insist_count] <= insist_window;
}

}  // namespace

int take_signals(State& state) {
    the_state = &state;
    // A parent that ignored SIGCHLD would have the kernel reap everything behind our back.
    signal(SIGCHLD, SIG_DFL);
    install_fatal_handlers();
    KernelSet mask = ~KernelSet{0};
    for (int number : fatal_signals) {
        mask &= ~only(number);
    }
    set_mask(mask);
    const int descriptor =
        static_cast<int>(syscall(SYS_signalfd4, -1, &mask, sizeof mask, SFD_CLOEXEC | SFD_NONBLOCK));
    if (descriptor < 0) {
        say("cannot make the signal descriptor: %s", error_text(errno));
    }
    return descriptor;
}

void restore_signals() {
    constexpr KernelAction ordinary;
    for (int number = 1; number <= last_signal; ++number) {
        syscall(SYS_rt_sigaction, number, &ordinary, nullptr, sizeof ordinary.mask);
    }
    set_mask(0);
}

SignalNews read_signals(int descriptor) {
    SignalNews news;
    signalfd_siginfo items[16];
    ssize_t length = 0;
    while ((length = read(descriptor, items, sizeof items)) > 0) {
        for (std::size_t i = 0; i < static_cast<std::size_t>(length) / sizeof items[0]; ++i) {
            const int number = static_cast<int>(items[i].ssi_signo);
            if (number == SIGCHLD) {
                news.child = true;
            } else if (is_decided(number)) {
                news.decisions |= std::uint64_t{1} << number;
                news.insisted = news.insisted || (number == SIGINT && insists());
            }
        }
    }
    return news;
}

Strikes count_strikes(const State& state) {
    if (state.fatal_count < strikes_allowed) {
        return Strikes::few;
    }
    const Nanoseconds oldest = state.fatal_at[state.fatal_count % strikes_allowed];
    return now() - oldest <= strike_window ? Strikes::out : Strikes::few;
}

}  // namespace gpcsup::init
