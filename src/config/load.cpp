#include "config/load.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <set>
#include <span>
#include <system_error>
#include <tuple>
#include <utility>
#include <variant>

#include "base/checksum.h"
#include "base/fd.h"
#include "base/result.h"
#include "base/suggestion.h"
#include "config/document.h"
#include "units/settings.h"

namespace gpcsup::config {

namespace {

namespace fs = std::filesystem;

constexpr std::size_t most_files = 20'000;  // a loop of links, or the wrong directory

std::string in_quotes(std::string_view text) {
    return "\"" + std::string(text) + "\"";
}

// The reason of a unit is for everybody, also in events: what quotes an argument or a variable is not in it.
std::string reason_of(const Located& problem) {
    Located told = problem;
    if (units::audience_of(problem.key) == units::Audience::owner) {
        told.message = "it is not right; `gpcsup check` says why";
    }
    return "config: " + format(told);
}

// O_NONBLOCK: a fifo that somebody put there may not stop the supervisor.
base::Result<std::string> read_file(const std::string& path) {
    const base::Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
    if (!fd) {
        return base::fail(errno, "open", path);
    }
    struct stat status {};
    if (::fstat(fd.get(), &status) != 0) {
        return base::fail(errno, "read", path);
    }
    if (!S_ISREG(status.st_mode)) {
        return base::refuse(EINVAL, path + " is not a regular file");
    }
    std::string text;
    char buffer[16 * 1024];
    while (text.size() <= largest_document) {  // one more is enough to be refused as too large
        const ssize_t got = ::read(fd.get(), buffer, sizeof buffer);
        if (got < 0 && errno != EINTR) {
            return base::fail(errno, "read", path);
        }
        if (got == 0) {
            break;
        }
        text.append(buffer, got > 0 ? static_cast<std::size_t>(got) : 0);
    }
    return text;
}

// Lock files and copies of editors, and what `gpcsup enable` is just writing.
bool is_hidden(const fs::path& path) {
    return path.filename().string().starts_with('.');
}

struct UnitPaths {
    std::string main;                             // empty: only drop-ins
    std::map<std::string, std::string> drop_ins;  // file name → path: the order in which they are merged
};

class Loader {
  public:
    Loader(const AttributeCatalogue* catalogue, const base::Accounts* accounts)
        : catalogue_(catalogue), accounts_(accounts) {}

    Loaded load(const Sources& sources) {
        load_hierarchies(sources.config_file);
        for (const std::string& directory : sources.unit_directories) {
            find_units(directory);
        }
        for (const auto& [name, paths] : found_) {
            load_unit(name, paths);
        }
        check_places();
        auto built = units::UnitGraph::build(result_.units, result_.broken);
        result_.graph = std::move(built.graph);
        for (const units::GraphProblem& problem : built.problems) {
            add(place_of(problem), problem.key, problem.message);
        }
        std::ranges::stable_sort(result_.problems, [](const Located& a, const Located& b) {
            return std::tie(a.file, a.line, a.column) < std::tie(b.file, b.line, b.column);
        });
        return std::move(result_);
    }

  private:
    void add(const Location& place, std::string key, std::string message) {
        result_.problems.push_back(
            {place.file, place.line, place.column, std::move(key), std::move(message)});
    }

    void load_hierarchies(const std::string& path) {
        std::error_code error;
        if (path.empty() || !fs::exists(path, error)) {
            return;
        }
        base::Result<std::string> text = read_file(path);
        if (!text) {
            return add({path, 1, 1}, "", text.error().message());
        }
        HierarchyFile file = read_hierarchies(path, *text, catalogue_, accounts_);
        result_.hierarchies = std::move(file.hierarchies);
        result_.rules = std::move(file.rules);
        std::ranges::move(file.problems, std::back_inserter(result_.problems));
    }

    void find_units(const std::string& directory) {
        std::error_code error;
        fs::directory_iterator entry(directory, error);
        for (; !error && entry != fs::directory_iterator(); entry.increment(error)) {
            const fs::path& path = entry->path();
            if (++files_ > most_files) {
                return add({directory, 1, 1}, "", "there are more than 20000 files: the rest is not read");
            }
            if (is_hidden(path)) {
                continue;
            }
            std::error_code ignored;
            if (path.extension() == ".toml" && !fs::is_directory(path, ignored)) {
                std::string& main = found_[path.stem().string()].main;
                main =
                    main.empty() ? path.string() : main;  // an earlier directory has it: this one is shadowed
            } else if (path.extension() == ".d" && fs::is_directory(path, ignored)) {
                find_drop_ins(path, found_[path.stem().string()]);
            }
        }
        if (error && error != std::errc::no_such_file_or_directory) {
            add({directory, 1, 1}, "", "cannot read the directory: " + error.message());
        }
    }

    void find_drop_ins(const fs::path& directory, UnitPaths& unit) {
        std::error_code error;
        fs::directory_iterator entry(directory, error);
        for (; !error && entry != fs::directory_iterator() && ++files_ <= most_files;
             entry.increment(error)) {
            if (entry->path().extension() == ".toml" && !is_hidden(entry->path())) {
                unit.drop_ins.emplace(entry->path().filename().string(), entry->path().string());
            }
        }
        if (error) {
            add({directory.string(), 1, 1}, "", "cannot read the directory: " + error.message());
        }
    }

    void load_unit(const std::string& name, const UnitPaths& paths) {
        std::vector<SourceText> texts;
        std::vector<Located> unread;
        const auto take = [&](const std::string& path) {
            base::Result<std::string> text = read_file(path);
            if (text) {
                texts.push_back({path, std::move(*text)});
            } else {
                unread.push_back({path, 1, 1, "", text.error().message()});
            }
        };
        if (!paths.main.empty()) {
            take(paths.main);
        } else if (paths.drop_ins.empty()) {
            return;  // an empty NAME.d
        } else if (name != units::default_target) {
            return add({paths.drop_ins.begin()->second, 1, 1}, "",
                       "there is no unit " + in_quotes(name) + " to add this to");
        }
        for (const auto& [file, path] : paths.drop_ins) {
            take(path);
        }
        UnitFile unit = read_unit(name, texts, catalogue_);
        std::ranges::move(unread, std::back_inserter(unit.problems));
        check_texts(name, texts);
        main_files_[name] = !paths.main.empty() ? paths.main : paths.drop_ins.begin()->second;
        places_[name] = std::move(unit.places);
        limits_[name] = std::move(unit.limits);
        if (unit.problems.empty()) {
            result_.units.push_back(std::move(unit.declaration));
        } else {
            result_.broken.push_back({name, reason_of(unit.problems.front())});
            std::ranges::move(unit.problems, std::back_inserter(result_.problems));
        }
    }

    void check_texts(const std::string& name, const std::vector<SourceText>& texts) {
        std::uint32_t sum = 0;
        for (const SourceText& text : texts) {
            sum = base::crc32c(std::as_bytes(std::span(text.file)), sum);
            sum = base::crc32c(std::as_bytes(std::span(text.text)), sum);
        }
        result_.texts[name] = sum;
    }

    // What only the whole can tell: whether the hierarchies that units name exist.
    void check_places() {
        std::set<std::string, std::less<>> known;
        std::set<std::string, std::less<>> bound = {"group"};
        for (const HierarchyDeclaration& hierarchy : result_.hierarchies) {
            known.insert(hierarchy.name);
            known.insert(hierarchy.controllers.begin(), hierarchy.controllers.end());
            bound.insert(hierarchy.controllers.begin(), hierarchy.controllers.end());
        }
        std::erase_if(result_.units, [&](const units::Declaration& unit) {
            const std::size_t before = result_.problems.size();
            for (const auto& [hierarchy, path] : unit.place) {
                if (!known.contains(hierarchy)) {
                    const auto near =
                        base::nearest(hierarchy, std::vector<std::string_view>(known.begin(), known.end()));
                    add(places_[unit.name]["place." + hierarchy], "place." + hierarchy,
                        "there is no hierarchy " + in_quotes(hierarchy) +
                            (near ? "; did you mean " + in_quotes(*near) + "?"
                                  : "; hierarchies are declared in gpcsup.toml"));
                }
            }
            for (const LocatedSetting& limit : limits_[unit.name]) {
                const std::string controller = limit.attribute.substr(0, limit.attribute.find('.'));
                if (!bound.contains(controller)) {
                    add(limit.place, "limits." + limit.attribute,
                        "the controller " + in_quotes(controller) +
                            " is bound to no hierarchy: declare one in gpcsup.toml");
                }
            }
            if (result_.problems.size() == before) {
                return false;
            }
            result_.broken.push_back({unit.name, reason_of(result_.problems[before])});
            return true;
        });
    }

    Location place_of(const units::GraphProblem& problem) const {
        const auto unit = places_.find(problem.unit);
        if (unit != places_.end()) {
            for (const std::string& key : {problem.key + " " + problem.value, problem.key}) {
                if (const auto place = unit->second.find(key); place != unit->second.end()) {
                    return place->second;
                }
            }
        }
        const auto file = main_files_.find(problem.unit);
        return {file == main_files_.end() ? problem.unit : file->second, 1, 1};
    }

    const AttributeCatalogue* catalogue_;
    const base::Accounts* accounts_;
    Loaded result_;
    std::map<std::string, UnitPaths> found_;
    std::map<std::string, std::string> main_files_;
    std::map<std::string, std::map<std::string, Location>> places_;
    std::map<std::string, std::vector<LocatedSetting>> limits_;
    std::size_t files_ = 0;
};

}  // namespace

Loaded load(const Sources& sources, const AttributeCatalogue* catalogue, const base::Accounts* accounts) {
    return Loader(catalogue, accounts).load(sources);
}

std::vector<Located> check_file(const std::string& path, const AttributeCatalogue* catalogue,
                                const base::Accounts* accounts) {
    base::Result<std::string> text = read_file(path);
    if (!text) {
        return {{path, 1, 1, "", text.error().message()}};
    }
    const fs::path file(path);
    const auto parsed = parse_document(*text, path);
    const Node* root = std::get_if<Node>(&parsed);
    if (file.filename() == "gpcsup.toml" ||
        (root != nullptr && (root->find("hierarchy") != nullptr || root->find("rule") != nullptr))) {
        return read_hierarchies(path, *text, catalogue, accounts).problems;
    }
    const fs::path directory = file.parent_path();
    const bool is_drop_in = directory.extension() == ".d";
    return read_unit((is_drop_in ? directory : file).stem().string(), std::vector<SourceText>{{path, *text}},
                     catalogue, is_drop_in ? Whole::drop_in : Whole::unit)
        .problems;
}

}  // namespace gpcsup::config
