#pragma once
// What `run` asks the supervisor for, and what its answer means for the exit code. No terminal, no
// connection.

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "cli/arguments.h"
#include "cli/json.h"

namespace gpcsup::cli {

inline constexpr int run_failed = 125;
inline constexpr int run_not_executable = 126;
inline constexpr int run_not_found = 127;

// Where COMMAND is, by PATH as a shell finds it. ENOENT: nowhere; EACCES: there, but not executable.
base::Result<std::string> find_command(const std::string& command, const std::string& path,
                                       const std::string& directory);

struct Surroundings {  // what the command inherits from this client
    std::string directory;
    std::vector<std::string> environment;  // NAME=VALUE
};
enum class Streams { as_they_are, terminal };

// The text of the request, bus.md. EINVAL for what the bus cannot carry or is no ATTRIBUTE=VALUE.
base::Result<std::string> run_request(const Arguments& arguments, const std::string& executable,
                                      const Surroundings& around, Streams streams);

struct Outcome {
    int exit_status = run_failed;
    std::string complaint;  // for standard error; empty = nothing to say
};
// UNIT: the one unit of a settled Wait.
Outcome outcome_of(const Json& unit);

}  // namespace gpcsup::cli
