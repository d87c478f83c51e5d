#pragma once
// Everything that is configured, read from where it lies: the configuration file, the unit directories, their
// drop-ins. One bad file never keeps the others from being used: its unit is known as broken, with the first
// reason.

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "config/catalogue.h"
#include "config/hierarchy_file.h"
#include "config/located.h"
#include "config/unit_file.h"
#include "units/declaration.h"
#include "units/graph.h"

namespace gpcsup::config {

struct Sources {
    std::string config_file;                    // need not exist, nor be named
    std::vector<std::string> unit_directories;  // the first one shadows the others; need not exist
};

struct Loaded {
    std::vector<HierarchyDeclaration> hierarchies;
    std::vector<grouping::Rule> rules;
    std::vector<units::Declaration> units;
    std::vector<units::BrokenUnit> broken;
    units::UnitGraph graph;         // of both
    std::vector<Located> problems;  // in the order of file and line; of the graph, too
    std::map<std::string, std::uint32_t>
        texts;  // unit → checksum of all its texts: what has not changed on disk
};

// CATALOGUE may be null: then values of attributes are not checked; ACCOUNTS too: then names of users and
// groups in rules are not.
Loaded load(const Sources& sources, const AttributeCatalogue* catalogue,
            const base::Accounts* accounts = nullptr);

// `gpcsup check FILE`: a file alone, gpcsup.toml or a unit (told by its content). What only the whole can
// tell is not checked.
std::vector<Located> check_file(const std::string& path, const AttributeCatalogue* catalogue,
                                const base::Accounts* accounts = nullptr);

}  // namespace gpcsup::config
