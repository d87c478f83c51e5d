#include "cli/drop_in.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <string_view>

#include "base/fd.h"
#include "base/suggestion.h"

namespace gpcsup::cli {

namespace {

constexpr std::string_view suffix = ".toml";
constexpr char enable_file[] = "50-enable.toml";
constexpr char mask_file[] = "50-mask.toml";

std::vector<std::string> known_units(const std::vector<std::string>& directories) {
    std::vector<std::string> names;
    for (const auto& directory : directories) {
        std::error_code error;
        for (std::filesystem::directory_iterator entry(directory, error), end; !error && entry != end;
             entry.increment(error)) {
            const std::string name = entry->path().filename();
            if (name.ends_with(suffix) && !name.starts_with('.')) {
                names.push_back(name.substr(0, name.size() - suffix.size()));
            }
        }
    }
    return names;
}

base::Result<> make_directories(const std::string& path) {
    for (std::size_t slash = path.find('/', 1);; slash = path.find('/', slash + 1)) {
        const std::string part = path.substr(0, slash);
        if (::mkdir(part.c_str(), 0755) < 0 && errno != EEXIST) {
            return base::fail(errno, "make the directory", part);
        }
        if (slash == std::string::npos) {
            return {};
        }
    }
}

// A reader sees the old file or the new one, also after a power failure.
base::Result<> replace_file(const std::string& directory, const std::string& name, std::string_view text) {
    const std::string path = directory + "/" + name;
    const std::string fresh = directory + "/." + name + "." + std::to_string(::getpid());
    base::Fd file(::open(fresh.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0644));
    if (!file) {
        return base::fail(errno, "create", fresh);
    }
    const bool written = ::write(file.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size()) &&
                         ::fsync(file.get()) == 0 && ::rename(fresh.c_str(), path.c_str()) == 0;
    if (!written) {
        const int code = errno;
        ::unlink(fresh.c_str());
        return base::fail(code, "write", path);
    }
    base::Fd parent(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (parent && ::fsync(parent.get()) < 0) {
        return base::fail(errno, "write", directory);
    }
    return {};
}

}  // namespace

base::Result<> find_unit_file(const std::string& unit, const std::vector<std::string>& directories) {
    const std::vector<std::string> names = known_units(directories);
    if (std::ranges::find(names, unit) != names.end()) {
        return {};
    }
    const std::vector<std::string_view> known(names.begin(), names.end());
    const auto near = base::nearest(unit, known);
    std::string looked;
    for (const auto& directory : directories) {
        looked += (looked.empty() ? "" : ", ") + directory;
    }
    return base::refuse(ENOENT, "there is no unit \"" + unit + "\" in " + looked,
                        near ? "did you mean " + std::string(*near) + "?" : std::string());
}

base::Result<std::string> write_drop_in(const std::string& unit, DropIn kind, const std::string& directory) {
    const std::string place = directory + "/" + unit + ".d";
    if (auto made = make_directories(place); !made) {
        return base::pass(made);
    }
    const char* name = kind == DropIn::mask ? mask_file : enable_file;
    const std::string_view text = kind == DropIn::enable    ? "# written by gpcsup enable\nenabled = true\n"
                                  : kind == DropIn::disable ? "# written by gpcsup disable\nenabled = false\n"
                                                            : "# written by gpcsup mask\nmasked = true\n";
    if (auto written = replace_file(place, name, text); !written) {
        return base::pass(written);
    }
    if (kind == DropIn::enable && ::unlink((place + "/" + mask_file).c_str()) < 0 && errno != ENOENT) {
        return base::fail(errno, "remove", place + "/" + mask_file);
    }
    return place + "/" + name;
}

}  // namespace gpcsup::cli
