#pragma once
// A forest as it is written down: what gpcsup.toml declares, what `gpcsup snapshot` prints, and what `gpcsup
// apply` compares. Values only; settings are text in the form that their attributes print.

#include <string>
#include <vector>

#include "grouping/compat.h"

namespace gpcsup::grouping {

struct DeclaredSetting {
    std::string name;   // "numtasks.limit"
    std::string value;  // "64", "max"
    bool operator==(const DeclaredSetting&) const = default;
};

struct DeclaredGroup {
    std::string path;  // "/acme/web"; "/" for the settings of the root
    std::vector<DeclaredSetting> settings;
    std::string location;  // "gpcsup.toml:12:3"; for people
};

struct DeclaredHierarchy {
    std::string name;
    std::vector<std::string> controllers;
    std::vector<DeclaredGroup> groups;  // parents before children
    std::string location;
    Compat compat = Compat::none;
};

using DeclaredTree = std::vector<DeclaredHierarchy>;

}  // namespace gpcsup::grouping
