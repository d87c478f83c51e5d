// The shipped configuration, against what this supervisor knows.

#include <catch2/catch.hpp>
#include <filesystem>
#include <set>
#include <string>

#include "config/load.h"
#include "controllers/controller.h"

using namespace gpcsup;

TEST_CASE("the shipped configuration binds every controller: limits work out of the box") {
    // tests/unit/supervisor → the root of the sources
    const auto root = std::filesystem::path(__FILE__).parent_path().parent_path().parent_path().parent_path();
    const config::Loaded loaded = config::load({(root / "config/gpcsup.toml").string(), {}}, nullptr);
    std::set<std::string> bound;
    for (const config::HierarchyDeclaration& hierarchy : loaded.hierarchies) {
        bound.insert(hierarchy.controllers.begin(), hierarchy.controllers.end());
    }
    std::set<std::string> known;
    for (const controllers::Registered& controller : controllers::registered()) {
        known.emplace(controller.name);
    }
    CHECK(bound == known);
}
