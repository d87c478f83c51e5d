#include "init/options.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <initializer_list>

#include "init/say.h"
#include "wire/keep.h"

namespace gpcsup::init {

namespace {

constexpr char usage[] =
    "usage: gpc-init [--config FILE] [--units DIR]... [--runtime DIR]\n"
    "\n"
    "Starts and keeps the process supervisor gpcsupd: as PID 1, or in the foreground as the reaper of its "
    "own tree\n"
    "(SIGTERM or Ctrl-C stops all services in order and ends it).\n"
    "\n"
    "  --config FILE   configuration instead of /etc/gpcsup/gpcsup.toml (a user's: "
    "$XDG_CONFIG_HOME/gpcsup/gpcsup.toml)\n"
    "  --units DIR     look for units here instead of the usual directories; may be given several times\n"
    "  --runtime DIR   sockets and lock, instead of /run/gpcsup (a user's: $XDG_RUNTIME_DIR/gpcsup)\n"
    "  --help          this text\n"
    "  --version       the version\n"
    "\n"
    "Talk to it with gpcsup(1).\n";

const char* set_text(char* to, std::size_t size, const char* text) {
    int length = snprintf(to, size, "%s", text);
    return length >= 0 && static_cast<std::size_t>(length) < size ? nullptr : "the path is too long";
}

// Services and helpers may have other working directories: everything is handed on as an absolute path.
const char* set_path(char* to, std::size_t size, const char* path) {
    if (*path == '\0') {
        return "the path is empty";
    }
    if (*path == '/') {
        return set_text(to, size, path);
    }
    char here[1024];
    if (getcwd(here, sizeof here) == nullptr) {
        return "the working directory is unknown";
    }
    int length = snprintf(to, size, "%s/%s", here, path);
    return length >= 0 && static_cast<std::size_t>(length) < size ? nullptr : "the path is too long";
}

const char* add_units(State& state, const char* path) {
    if (strchr(path, ':') != nullptr) {
        return "a directory of units may not have ':' in its name";
    }
    std::size_t used = strlen(state.units);
    if (used + 2 >= sizeof state.units) {
        return "too many directories of units";
    }
    if (used > 0) {
        state.units[used++] = ':';
    }
    const char* problem = set_path(state.units + used, sizeof state.units - used, path);
    if (problem != nullptr) {
        state.units[used > 0 ? used - 1 : 0] = '\0';
    }
    return problem;
}

const char* apply(State& state, const char* option, const char* value) {
    if (strcmp(option, "--config") == 0) {
        return set_path(state.config, sizeof state.config, value);
    }
    if (strcmp(option, "--runtime") == 0) {
        return set_path(state.runtime, sizeof state.runtime, value);
    }
    return add_units(state, value);
}

// The known option that ARGUMENT names, alone or as OPTION=VALUE; nullptr if none.
const char* known_option(const char* argument) {
    for (const char* option : {"--config", "--units", "--runtime"}) {
        std::size_t length = strlen(option);
        if (strncmp(argument, option, length) == 0 && (argument[length] == '\0' || argument[length] == '=')) {
            return option;
        }
    }
    return nullptr;
}

// In a subreaper a wrong argument is an error; to PID 1 the kernel hands on whatever it did not understand
// itself.
Parsed unexpected(Role role, const char* argument, const char* problem) {
    if (role == Role::subreaper) {
        say("%s: %s (gpc-init --help tells what there is)", argument, problem);
        return Parsed::wrong;
    }
    say("ignoring argument %s: %s", argument, problem);
    return Parsed::run;
}

void print(const char* text) {
    [[maybe_unused]] auto written = write(STDOUT_FILENO, text, strlen(text));
}

}  // namespace

Parsed parse_options(State& state, int count, char** arguments) {
    for (int i = 1; i < count; ++i) {
        const char* argument = arguments[i];
        if (state.role == Role::subreaper &&
            (strcmp(argument, "--help") == 0 || strcmp(argument, "-h") == 0)) {
            print(usage);
            return Parsed::done;
        }
        if (state.role == Role::subreaper && strcmp(argument, "--version") == 0) {
            print("gpc-init " GPCSUP_VERSION "\n");
            return Parsed::done;
        }
        const char* option = known_option(argument);
        const char* problem = "unknown argument";
        if (option != nullptr) {
            const char* value =
                argument[strlen(option)] == '=' ? argument + strlen(option) + 1 : arguments[i + 1];
            if (value == nullptr) {
                problem = "a value is missing";
            } else {
                i += value == arguments[i + 1] ? 1 : 0;
                problem = apply(state, option, value);
            }
        }
        if (problem != nullptr && unexpected(state.role, argument, problem) == Parsed::wrong) {
            return Parsed::wrong;
        }
    }
    return Parsed::run;
}

namespace {

const char* variable(const char* name) {
    const char* value = getenv(name);
    return value != nullptr && *value == '/' ? value : nullptr;  // XDG: a relative path is to be ignored
}

const char* join(char* to, std::size_t size, const char* directory, const char* rest) {
    int length = snprintf(to, size, "%s%s", directory, rest);
    return length >= 0 && static_cast<std::size_t>(length) < size ? nullptr : "the path is too long";
}

const char* choose_user_runtime(State& state) {
    if (const char* runtime = variable("XDG_RUNTIME_DIR")) {
        return join(state.runtime, sizeof state.runtime, runtime, "/gpcsup");
    }
    const char* temporary = variable("TMPDIR");
    char rest[48];
    snprintf(rest, sizeof rest, "/gpcsup-%u", geteuid());
    const char* problem =
        join(state.runtime, sizeof state.runtime, temporary != nullptr ? temporary : "/tmp", rest);
    say("warning: XDG_RUNTIME_DIR is not set; the runtime directory is %s", state.runtime);
    return problem;
}

const char* choose_user_logs(State& state) {
    if (const char* states = variable("XDG_STATE_HOME")) {
        return join(state.logs, sizeof state.logs, states, "/gpcsup");
    }
    if (const char* home = variable("HOME")) {
        return join(state.logs, sizeof state.logs, home, "/.local/state/gpcsup");
    }
    say("warning: neither XDG_STATE_HOME nor HOME is set; logs go to %s/logs", state.runtime);
    return join(state.logs, sizeof state.logs, state.runtime, "/logs");
}

}  // namespace

Chosen choose_directories(State& state) {
    const bool root = geteuid() == 0;
    const char* problem = nullptr;
    if (state.runtime[0] == '\0') {
        problem =
            root ? set_text(state.runtime, sizeof state.runtime, "/run/gpcsup") : choose_user_runtime(state);
    }
    if (problem == nullptr) {
        if (const char* logs = variable(wire::logs_variable)) {
            problem = set_text(state.logs, sizeof state.logs, logs);
        } else {
            problem =
                root ? set_text(state.logs, sizeof state.logs, "/var/log/gpcsup") : choose_user_logs(state);
        }
    }
    if (problem != nullptr) {
        say("cannot choose the runtime directory: %s", problem);
        return Chosen::no;
    }
    return Chosen::yes;
}

}  // namespace gpcsup::init
