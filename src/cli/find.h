#pragma once
// Where things are: the supervisor's runtime directory, unit directories, logs and helper programs, by the
// rules of INTERFACE. Reads the environment and the file system; connects to nothing.

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace gpcsup::cli {

enum class Scope { automatic, user, system };  // neither, --user, --system

struct Where {
    std::optional<std::string> runtime;  // --runtime DIR
    Scope scope = Scope::automatic;
};

// The directory with the control socket. ENOTCONN where there is none: says where it looked and how to start
// one.
base::Result<std::string> find_runtime(const Where& where);

// Scope::automatic: system for root, else user.
std::vector<std::string> unit_directories(Scope scope);
std::string log_directory(Scope scope);

// A program of gpcsup: beside this one, in ../libexec/gpcsup, or where it was built for. ENOENT names all
// three.
base::Result<std::string> find_program(std::string_view name);

}  // namespace gpcsup::cli
