#include "supervisor/surroundings.h"

#include <unistd.h>

#include <cstdlib>
#include <filesystem>

#include "wire/keep.h"

namespace gpcsup::supervisor {

namespace {

std::string variable(const char* name) {
    const char* value = std::getenv(name);
    return value == nullptr ? std::string() : std::string(value);
}

std::string own_directory() {
    std::error_code failed;
    const auto self = std::filesystem::read_symlink("/proc/self/exe", failed);
    return failed ? std::string() : self.parent_path().string();
}

std::string user_configuration() {
    if (const std::string configured = variable("XDG_CONFIG_HOME"); !configured.empty()) {
        return configured + "/gpcsup";
    }
    const std::string home = variable("HOME");
    return home.empty() ? std::string() : home + "/.config/gpcsup";
}

void use_default_paths(Surroundings& here) {
    if (geteuid() == 0) {
        here.config = "/etc/gpcsup/gpcsup.toml";
        here.unit_directories = {"/etc/gpcsup/units", "/run/gpcsup/units", "/usr/local/lib/gpcsup/units",
                                 "/usr/lib/gpcsup/units"};
    } else if (const std::string base = user_configuration(); !base.empty()) {
        here.config = base + "/gpcsup.toml";
        here.unit_directories = {base + "/units"};
    }
}

std::vector<std::string> split(const std::string& text) {
    std::vector<std::string> parts;
    for (std::size_t from = 0; from <= text.size();) {
        const std::size_t to = std::min(text.find(':', from), text.size());
        if (to > from) {
            parts.push_back(text.substr(from, to - from));
        }
        from = to + 1;
    }
    return parts;
}

}  // namespace

std::string_view name_of(Mode mode) {
    constexpr std::string_view names[] = {"system", "user", "init"};
    return names[static_cast<unsigned>(mode)];
}

std::string Surroundings::program(const std::string& name) const {
    for (const std::string& directory : {own_directory, own_directory + "/../libexec/gpcsup",
#ifdef GPCSUP_LIBEXECDIR
                                         std::string(GPCSUP_LIBEXECDIR),
#endif
                                         own_directory + "/../sbin"}) {
        const std::string path = directory + "/" + name;
        if (access(path.c_str(), X_OK) == 0) {
            return path;
        }
    }
    return {};
}

Surroundings default_surroundings() {
    Surroundings here;
    here.own_directory = own_directory();
    here.mode = geteuid() == 0 ? Mode::system : Mode::user;
    use_default_paths(here);
    return here;
}

base::Result<Surroundings> read_surroundings() {
    Surroundings here = default_surroundings();
    const std::string keeper = variable(wire::keeper_variable);
    here.runtime = variable(wire::runtime_variable);
    if (keeper.empty() || here.runtime.empty()) {
        return base::refuse(EINVAL, "gpcsupd is started by gpc-init", "run `gpc-init` instead");
    }
    here.keeper_fd = std::atoi(keeper.c_str());
    here.init_pid = getppid();
    here.generation =
        static_cast<unsigned>(std::max(1, std::atoi(variable(wire::generation_variable).c_str())));
    here.logs = variable(wire::logs_variable);
    if (here.init_pid == 1) {
        here.mode = Mode::init;
    }
    if (const std::string config = variable(wire::config_variable); !config.empty()) {
        here.config = config;
        here.config_was_named = true;
    }
    if (auto units = split(variable(wire::units_variable)); !units.empty()) {
        here.unit_directories = std::move(units);
    }
    return here;
}

}  // namespace gpcsup::supervisor
