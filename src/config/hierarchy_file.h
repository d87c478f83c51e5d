#pragma once
// gpcsup.toml: which hierarchies there are, which controllers drive each, which groups exist from the start,
// and which rules place processes. No file is opened in here.

#include <string>
#include <string_view>
#include <vector>

#include "config/attribute_settings.h"
#include "config/catalogue.h"
#include "config/located.h"
#include "config/rule_table.h"
#include "grouping/compat.h"

namespace gpcsup::config {

struct GroupDeclaration {
    std::string path;  // "/acme/web"
    std::vector<LocatedSetting> settings;
    Location place;
};

struct HierarchyDeclaration {
    std::string name;
    std::vector<std::string> controllers;
    grouping::Compat compat = grouping::Compat::none;
    std::string release_agent;             // "" = none
    std::vector<GroupDeclaration> groups;  // parents before children
    Location place;
};

struct HierarchyFile {
    std::vector<HierarchyDeclaration> hierarchies;
    std::vector<grouping::Rule> rules;  // in order
    std::vector<Located> problems;      // what they are about is left out of `hierarchies`
};

// Without CATALOGUE values of attributes are not checked, without ACCOUNTS names of users and groups are not.
HierarchyFile read_hierarchies(std::string_view file, std::string_view text,
                               const AttributeCatalogue* catalogue, const base::Accounts* accounts = nullptr);

}  // namespace gpcsup::config
