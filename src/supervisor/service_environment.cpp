#include "supervisor/service_environment.h"

#include <sys/stat.h>
#include <unistd.h>

#include <map>

#include "wire/keep.h"

namespace gpcsup::supervisor {

namespace {

constexpr std::string_view default_path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
constexpr std::string_view inherited_by_all[] = {"PATH", "LANG", "LANGUAGE", "TZ"};
constexpr std::string_view never_inherited[] = {"NOTIFY_SOCKET", "LISTEN_FDS",   "LISTEN_PID",
                                                "WATCHDOG_USEC", "WATCHDOG_PID", "INVOCATION_ID"};

bool inherits(std::string_view name, Mode mode) {
    if (name.starts_with("GPCSUP_")) {
        return false;
    }
    for (const std::string_view other : never_inherited) {
        if (name == other) {
            return false;
        }
    }
    if (mode == Mode::user) {
        return true;
    }
    for (const std::string_view one : inherited_by_all) {
        if (name == one || name.starts_with("LC_")) {
            return true;
        }
    }
    return false;
}

bool is_program(const std::string& path) {
    struct stat status {};
    return stat(path.c_str(), &status) == 0 && S_ISREG(status.st_mode) && access(path.c_str(), X_OK) == 0;
}

}  // namespace

std::vector<std::string> service_environment(const units::Declaration& unit, const Surroundings& here) {
    std::map<std::string, std::string, std::less<>> variables;
    for (char** entry = environ; *entry != nullptr; ++entry) {
        const std::string_view text(*entry);
        const std::size_t equals = text.find('=');
        if (equals != std::string_view::npos && !unit.environment_only &&
            inherits(text.substr(0, equals), here.mode)) {
            variables.emplace(text.substr(0, equals), text.substr(equals + 1));
        }
    }
    variables.emplace("PATH", default_path);
    for (const auto& [name, value] : unit.environment) {
        variables.insert_or_assign(name, value);
    }
    variables[unit_variable] = unit.name;
    variables[wire::runtime_variable] = here.runtime;
    variables["RUNTIME_DIRECTORY"] = here.runtime + "/units/" + unit.name;
    if (unit.type == units::ServiceType::notify) {
        variables["NOTIFY_SOCKET"] = here.runtime + "/notify";
    }
    std::vector<std::string> list;
    list.reserve(variables.size());
    for (const auto& [name, value] : variables) {
        list.push_back(name + "=" + value);
    }
    return list;
}

base::Result<std::string> find_executable(const std::string& program,
                                          const std::vector<std::string>& environment,
                                          const std::string& directory) {
    if (program.starts_with('/')) {
        return program;  // execve says what is wrong with it
    }
    if (program.contains('/')) {
        return (directory.empty() ? std::string("/") : directory + "/") + program;
    }
    std::string path(default_path);
    for (const std::string& entry : environment) {
        if (entry.starts_with("PATH=")) {
            path = entry.substr(5);
        }
    }
    for (std::size_t from = 0; from <= path.size();) {
        const std::size_t to = std::min(path.find(':', from), path.size());
        std::string candidate = path.substr(from, to - from) + "/" + program;
        if (to > from && is_program(candidate)) {
            return candidate;
        }
        from = to + 1;
    }
    return base::fail(ENOENT, "execute", program, "it is not in PATH (" + path + ")");
}

}  // namespace gpcsup::supervisor
