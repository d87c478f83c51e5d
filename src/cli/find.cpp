#include "cli/find.h"

#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <climits>
#include <cstdlib>

#include "control/errors.h"
#include "wire/keep.h"

namespace gpcsup::cli {

namespace {

constexpr char system_runtime[] = "/run/gpcsup";

// XDG: a relative path is to be ignored.
std::optional<std::string> directory_variable(const char* name) {
    const char* value = std::getenv(name);
    return value != nullptr && *value == '/' ? std::optional<std::string>(value) : std::nullopt;
}

// A user's runtime directory as gpc-init chooses it.
std::string user_runtime() {
    if (const auto runtime = directory_variable("XDG_RUNTIME_DIR")) {
        return *runtime + "/gpcsup";
    }
    return directory_variable("TMPDIR").value_or("/tmp") + "/gpcsup-" + std::to_string(::geteuid());
}

std::string home_directory(const char* variable, std::string_view under_home) {
    if (const auto directory = directory_variable(variable)) {
        return *directory + "/gpcsup";
    }
    return directory_variable("HOME").value_or("/") + std::string(under_home) + "/gpcsup";
}

bool is_system(Scope scope) {
    return scope == Scope::system || (scope == Scope::automatic && ::geteuid() == 0);
}

enum class Trusted { anyone, own };

// A directory under the temporary one could have been put there by anybody: it counts only if it is the
// user's own.
bool has_socket(const std::string& runtime, Trusted trusted) {
    struct stat about {};
    if (trusted == Trusted::own &&
        (::lstat(runtime.c_str(), &about) != 0 || !S_ISDIR(about.st_mode) || about.st_uid != ::geteuid() ||
         (about.st_mode & (S_IWGRP | S_IWOTH)) != 0)) {
        return false;
    }
    return ::stat((runtime + "/control").c_str(), &about) == 0 && S_ISSOCK(about.st_mode);
}

}  // namespace

base::Result<std::string> find_runtime(const Where& where) {
    std::vector<std::string> looked;
    bool chosen = true;  // by whoever calls: then it is his to trust
    const char* named = std::getenv(wire::runtime_variable);
    if (where.runtime) {
        looked = {*where.runtime};
    } else if (where.scope == Scope::automatic && named != nullptr && *named != '\0') {
        looked = {named};
    } else {
        chosen = false;
        // root's own supervisor is the system's
        if (where.scope == Scope::user || (where.scope == Scope::automatic && ::geteuid() != 0)) {
            looked.push_back(user_runtime());
        }
        if (where.scope != Scope::user) {
            looked.emplace_back(system_runtime);
        }
    }
    std::string list;
    for (const auto& runtime : looked) {
        const Trusted trusted = chosen || runtime == system_runtime ? Trusted::anyone : Trusted::own;
        if (has_socket(runtime, trusted)) {
            return runtime;
        }
        list += (list.empty() ? "" : " and ") + runtime + "/control";
    }
    const std::string start =
        where.runtime ? "gpc-init --runtime " + *where.runtime : std::string("gpc-init");
    return base::refuse(control::unreachable_code, "no supervisor is running here: looked for " + list,
                        "start one with \"" + start + "\", or name its directory with --runtime DIR");
}

std::vector<std::string> unit_directories(Scope scope) {
    if (!is_system(scope)) {
        return {home_directory("XDG_CONFIG_HOME", "/.config") + "/units"};
    }
    return {"/etc/gpcsup/units", "/run/gpcsup/units", "/usr/local/lib/gpcsup/units", "/usr/lib/gpcsup/units"};
}

std::string log_directory(Scope scope) {
    if (const auto logs = directory_variable(wire::logs_variable)) {
        return *logs;
    }
    return is_system(scope) ? "/var/log/gpcsup" : home_directory("XDG_STATE_HOME", "/.local/state");
}

base::Result<std::string> find_program(std::string_view name) {
    std::array<char, PATH_MAX> self{};
    const ssize_t length = ::readlink("/proc/self/exe", self.data(), self.size());
    std::vector<std::string> directories;
    if (length > 0) {
        const std::string_view path(self.data(), static_cast<std::size_t>(length));
        const std::string beside(path.substr(0, path.rfind('/')));
        directories = {beside, beside + "/../libexec/gpcsup"};
    }
#ifdef GPCSUP_LIBEXECDIR
    directories.emplace_back(GPCSUP_LIBEXECDIR);
#endif
    std::string looked;
    for (const auto& directory : directories) {
        std::string program = directory + "/" + std::string(name);
        if (::access(program.c_str(), X_OK) == 0) {
            return program;
        }
        looked += (looked.empty() ? "" : ", ") + directory;
    }
    return base::refuse(ENOEXEC, "cannot find the program " + std::string(name) + ": looked in " + looked);
}

}  // namespace gpcsup::cli
