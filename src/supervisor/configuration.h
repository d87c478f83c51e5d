#pragma once
// What the files say, as this supervisor goes by it: read once at boot, then taken from the journal by every
// successor, so that a file changed meanwhile changes nothing until `gpcsup apply`. Room config reads; this
// keeps.

#include <string>
#include <vector>

#include "controllers/dispatcher.h"
#include "journal/journal.h"
#include "supervisor/chronicle.h"
#include "supervisor/surroundings.h"
#include "units/graph.h"

namespace gpcsup::supervisor {

struct DeclaredGroup {
    std::string path;
    std::vector<controllers::SettingText> settings;
    std::string location;  // "gpcsup.toml:12:3"
};

struct DeclaredHierarchy {
    std::string name;
    std::vector<std::string> controllers;
    std::vector<DeclaredGroup> groups;
    std::string location;
};

class Configuration {
  public:
    Configuration() = default;
    // ENOENT when a file named by --config is not there. Anything wrong inside files is a problem, not an
    // error.
    static base::Result<Configuration> load(const Surroundings& here);
    static base::Result<Configuration> restore(const journal::States& states);
    void record(Chronicle& chronicle) const;  // for the successor; before take_graph
    void record_problems(Chronicle& chronicle) const;

    [[nodiscard]] units::UnitGraph take_graph();  // once
    [[nodiscard]] const std::vector<DeclaredHierarchy>& hierarchies() const { return hierarchies_; }
    [[nodiscard]] const std::vector<std::string>& problems() const {
        return problems_;
    }  // one line each, located
    void add_problem(std::string line) { problems_.push_back(std::move(line)); }

  private:
    std::vector<DeclaredHierarchy> hierarchies_;
    std::vector<std::string> problems_;
    std::vector<units::Declaration> units_;
    std::vector<units::BrokenUnit> broken_;
    units::UnitGraph graph_;
};

// `gpcsupd --check`: problems as JSON or as lines on standard output. The exit status.
enum class CheckOutput { lines, json };
int check_files(const std::vector<std::string>& files, CheckOutput output);

}  // namespace gpcsup::supervisor
