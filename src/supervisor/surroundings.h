#pragma once
// Where this gpcsupd runs and with what right, read once at start from what gpc-init says in the environment.
// Paths only: it opens and creates nothing.

#include <sys/types.h>

#include <optional>
#include <string>
#include <vector>

#include "base/result.h"

namespace gpcsup::supervisor {

enum class Mode {
    system,  // root, not PID 1: a subreaper
    user,    // an ordinary user's
    init,    // gpc-init is PID 1
};
[[nodiscard]] std::string_view name_of(Mode mode);

struct Surroundings {
    Mode mode = Mode::user;
    pid_t init_pid = 0;
    unsigned generation = 1;                    // how often gpc-init has started a gpcsupd
    int keeper_fd = -1;                         // the inherited channel to gpc-init
    std::string runtime;                        // directory
    std::string logs;                           // directory
    std::optional<std::string> config;          // the file, if there is one
    bool config_was_named = false;              // by --config: then it must exist
    std::vector<std::string> unit_directories;  // in order: an earlier one shadows a later one
    std::string own_directory;  // of the running program: where the helper programs are looked for first

    // The path of another program of ours, or an empty string.
    [[nodiscard]] std::string program(const std::string& name) const;
};

// EINVAL when gpcsupd was not started by gpc-init.
base::Result<Surroundings> read_surroundings();

// As read_surroundings, without gpc-init: for `--check` and `--describe`.
Surroundings default_surroundings();

}  // namespace gpcsup::supervisor
