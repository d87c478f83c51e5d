#pragma once
// What the files say, as this supervisor goes by it: read once at boot, then taken from the journal by every
// successor, so that a file changed meanwhile changes nothing until `gpcsup apply`. Room config reads; this
// keeps.

#include <string>
#include <vector>

#include "config/located.h"
#include "grouping/declared.h"
#include "grouping/rules.h"
#include "journal/journal.h"
#include "supervisor/chronicle.h"
#include "supervisor/surroundings.h"
#include "units/graph.h"

namespace gpcsup::supervisor {

class Configuration {
  public:
    Configuration() = default;
    // ENOENT when a file named by --config is not there. Anything wrong inside files is a problem, not an
    // error.
    static base::Result<Configuration> load(const Surroundings& here);
    static base::Result<Configuration> restore(const journal::States& states);
    void record(Chronicle& chronicle) const;  // for the successor; before take_graph
    // The rest of it: problems, hierarchies, rules.
    void record_tree(Chronicle& chronicle) const;
    // The same as records, for who writes them under other keys.
    using Records = std::vector<std::pair<std::string, std::string>>;
    [[nodiscard]] Records tree_records() const;
    void record_problems(Chronicle& chronicle) const;

    [[nodiscard]] units::UnitGraph take_graph();                            // once
    [[nodiscard]] const units::UnitGraph& graph() const { return graph_; }  // before that
    [[nodiscard]] const grouping::DeclaredTree& hierarchies() const { return hierarchies_; }
    [[nodiscard]] const std::vector<grouping::Rule>& rules() const { return rules_; }
    // What is wrong with the files; only after load.
    [[nodiscard]] const std::vector<config::Located>& located() const { return located_; }
    [[nodiscard]] const std::vector<std::string>& problems() const {
        return problems_;
    }  // one line each, located
    void add_problem(std::string line) { problems_.push_back(std::move(line)); }

  private:
    static base::Result<Configuration> read_back(const journal::States& states);
    [[nodiscard]] std::string problems_record() const;

    grouping::DeclaredTree hierarchies_;
    std::vector<grouping::Rule> rules_;
    std::vector<std::string> problems_;
    std::vector<config::Located> located_;
    std::vector<units::Declaration> units_;
    std::vector<units::BrokenUnit> broken_;
    units::UnitGraph graph_;
};

// {"file", "line", "column", "key", "message"}
[[nodiscard]] Json to_json(const config::Located& problem);

// `gpcsupd --check`: problems as JSON or as lines on standard output. The exit status.
enum class CheckOutput { lines, json };
int check_files(const std::vector<std::string>& files, CheckOutput output);

}  // namespace gpcsup::supervisor
