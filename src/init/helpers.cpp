#include "init/helpers.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

#include "init/environment.h"
#include "init/priority.h"
#include "init/protocol.h"
#include "init/say.h"
#include "init/signals.h"
#include "wire/names.h"

extern char** environ;

namespace gpcsup::init {

namespace {

constexpr Nanoseconds first_delay = 50 * millisecond;
constexpr Nanoseconds longest_delay = 5 * second;
// A beat wakes gpc-init twice and gpcsupd once: with one every 20 s an idle machine is woken less than once
// in 5 s.
constexpr Nanoseconds beat_interval = 20 * second;
constexpr Nanoseconds hurried_interval = 5 * second;  // after one ping without an answer

constexpr const char* names[helper_count] = {wire::supervisor_program, wire::enforce_program,
                                             wire::log_program};

#ifndef GPCSUP_LIBEXECDIR
#define GPCSUP_LIBEXECDIR "/usr/libexec/gpcsup"
#endif

// Beside gpc-init, in the libexec directory of the same prefix, or where it was built for. The last one is
// returned even if it is not there, so that the message names a path.
void find_program(const State& state, const char* name, char* path, std::size_t size) {
    const char* slash = strrchr(state.executable, '/');
    int directory = slash != nullptr ? static_cast<int>(slash - state.executable) : 0;
    const char* formats[] = {"%.*s/%s", "%.*s/../libexec/gpcsup/%s"};
    for (const char* format : formats) {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
        int length = snprintf(path, size, format, directory, state.executable, name);
#pragma GCC diagnostic pop
        if (length > 0 && static_cast<std::size_t>(length) < size && access(path, X_OK) == 0) {
            return;
        }
    }
    snprintf(path, size, "%s/%s", GPCSUP_LIBEXECDIR, name);
}

void make_environment(const State& state, const Helper& helper, int socket, Environment& environment) {
    copy_environment(environment, environ);
    char number[16];
    snprintf(number, sizeof number, "%d", socket);
    set_variable(environment, wire::keeper_variable, number);
    snprintf(number, sizeof number, "%u", helper.generation);
    set_variable(environment, wire::generation_variable, number);
    set_variable(environment, wire::runtime_variable, state.runtime);
    set_variable(environment, wire::logs_variable, state.logs);
    if (state.config[0] != '\0') {
        set_variable(environment, wire::config_variable, state.config);
    }
    if (state.units[0] != '\0') {
        set_variable(environment, wire::units_variable, state.units);
    }
}

// In the child. State is shared memory, so nothing may be written to it here.
[[noreturn]] void become(const State& state, const char* path, const char* name, int socket,
                         Environment& environment) {
    setsid();  // Ctrl-C on gpc-init's terminal is gpc-init's business alone
    int null = open("/dev/null", O_RDONLY);
    if (null >= 0) {
        dup2(null, STDIN_FILENO);
        if (null != STDIN_FILENO) {
            close(null);
        }
    }
    restore_limits(state);
    fcntl(socket, F_SETFD, 0);
    restore_signals();
    char argument[32];
    snprintf(argument, sizeof argument, "%s", name);
    char* arguments[] = {argument, nullptr};
    execve(path, arguments, environment.entries);
    say("cannot execute %s: %s", path, error_text(errno));
    _exit(127);
}

void plan(Helper& helper) {
    helper.life = Life::waiting;
    helper.not_before = now();
    if (helper.failures > 0) {
        Nanoseconds delay = first_delay << (helper.failures < 10 ? helper.failures - 1 : 9);
        helper.not_before += delay < longest_delay ? delay : longest_delay;
    }
}

void forget_connection(Helper& helper) {
    helper.answer.waiting = 0;
    if (helper.socket >= 0) {
        close(helper.socket);
    }
    helper.socket = -1;
    helper.pid = 0;
}

void fail_to_start(Helper& helper, const char* name, const char* what, int code) {
    say("cannot start %s: %s: %s", name, what, error_text(code));
    ++helper.failures;
    plan(helper);
}

void start(State& state, wire::HelperKind kind) {
    Helper& helper = helper_of(state, kind);
    const char* name = program_name(kind);
    static char path[sizeof state.executable + 64];
    static Environment environment;
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0) {
        fail_to_start(helper, name, "socketpair", errno);
        return;
    }
    ++helper.generation;
    find_program(state, name, path, sizeof path);
    make_environment(state, helper, ends[1], environment);
    pid_t pid = fork();
    if (pid == 0) {
        become(state, path, name, ends[1], environment);
    }
    int code = errno;
    close(ends[1]);
    if (pid < 0) {
        close(ends[0]);
        fail_to_start(helper, name, "fork", code);
        return;
    }
    helper.pid = pid;
    helper.socket = ends[0];
    helper.life = Life::running;
    helper.ready = 0;
    helper.cursor = 0;
    helper.set = 1;
    helper.full = 0;
    helper.not_before = 0;
    helper.exited_outstanding = 0;
    helper.unanswered = 0;
    helper.ping_owed = 0;
    helper.outdated = 0;
    helper.next_ping = now() + beat_interval;
    if (kind == wire::HelperKind::supervisor) {
        helper.owed_signals |= state.lasting_signals;
    }
}

void say_death(const char* name, const OwnDeath& death, const Helper& helper) {
    const char* how = death.code == CLD_EXITED ? "exited with status" : "was killed by signal";
    const char* when = helper.ready != 0 ? "" : " before it was ready";
    say("%s (pid %d) %s %d%s", name, death.pid, how, death.status, when);
}

}  // namespace

const char* program_name(wire::HelperKind kind) {
    return names[static_cast<unsigned>(kind)];
}

void want_helper(State& state, wire::HelperKind kind) {
    Helper& helper = helper_of(state, kind);
    if (helper.life == Life::absent) {
        helper.failures = 0;
        plan(helper);
    }
}

void start_due(State& state) {
    for (unsigned i = 0; i < helper_count; ++i) {
        Helper& helper = state.helpers[i];
        if (helper.life == Life::waiting && helper.not_before <= now()) {
            start(state, static_cast<wire::HelperKind>(i));
        }
    }
}

void bury(State& state, wire::HelperKind kind, const OwnDeath& death) {
    Helper& helper = helper_of(state, kind);
    read_last_words(state, kind);
    say_death(program_name(kind), death, helper);
    if (helper.ready != 0) {
        helper.failures = 0;
    } else {
        ++helper.failures;
    }
    forget_connection(helper);
    plan(helper);
}

void kill_helper(State& state, wire::HelperKind kind, const char* reason) {
    Helper& helper = helper_of(state, kind);
    say("%s (pid %d) %s: replacing it", program_name(kind), helper.pid, reason);
    kill(helper.pid, SIGKILL);
}

void mark_outdated(State& state) {
    for (unsigned i = 0; i < helper_count; ++i) {
        if (static_cast<wire::HelperKind>(i) != wire::HelperKind::supervisor) {
            state.helpers[i].outdated = state.helpers[i].life == Life::running ? 1 : 0;
        }
    }
}

void replace_outdated(State& state) {
    for (unsigned i = 0; i < helper_count; ++i) {
        Helper& helper = state.helpers[i];
        if (helper.outdated != 0 && helper.life == Life::running) {
            kill_helper(state, static_cast<wire::HelperKind>(i), "is of the time before the reexec");
        }
        helper.outdated = 0;
    }
}

void end_silent(State& state) {
    for (unsigned i = 0; i < helper_count; ++i) {
        Helper& helper = state.helpers[i];
        if (helper.life == Life::running && helper.socket < 0 && helper.not_before <= now()) {
            kill_helper(state, static_cast<wire::HelperKind>(i), "has closed its channel");
            helper.not_before = now() + longest_delay;  // its death is reported long before
        }
    }
}

void beat(State& state) {
    Helper& helper = helper_of(state, wire::HelperKind::supervisor);
    if (helper.life != Life::running || now() < helper.next_ping) {
        return;
    }
    if (helper.unanswered >= 2) {
        kill_helper(state, wire::HelperKind::supervisor, "does not answer");
        helper.next_ping = now() + beat_interval;
        return;
    }
    helper.next_ping = now() + (helper.unanswered > 0 ? hurried_interval : beat_interval);
    ++helper.unanswered;
    helper.ping_owed = 1;
}

Hope hope_for_supervisor(const State& state) {
    const Helper& helper = state.helpers[static_cast<unsigned>(wire::HelperKind::supervisor)];
    return helper.life == Life::waiting && helper.failures >= most_failures ? Hope::none : Hope::yes;
}

Nanoseconds next_due(const State& state) {
    Nanoseconds due = never;
    for (const Helper& helper : state.helpers) {
        if (helper.life == Life::waiting || (helper.life == Life::running && helper.not_before != 0)) {
            due = helper.not_before < due ? helper.not_before : due;
        }
    }
    const Helper& supervisor = state.helpers[static_cast<unsigned>(wire::HelperKind::supervisor)];
    if (supervisor.life == Life::running && supervisor.next_ping < due) {
        due = supervisor.next_ping;
    }
    return due;
}

}  // namespace gpcsup::init
