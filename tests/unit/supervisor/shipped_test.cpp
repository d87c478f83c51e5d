// The files that are shipped, as this supervisor reads them.

#include <catch2/catch.hpp>
#include <filesystem>
#include <set>
#include <string>

#include "controllers/describe.h"
#include "supervisor/configuration.h"

using namespace gpcsup;
using supervisor::Configuration;

namespace {

Configuration load_shipped(const std::string& units) {
    // tests/unit/supervisor → the root of the sources
    const auto root = std::filesystem::path(__FILE__).parent_path().parent_path().parent_path().parent_path();
    supervisor::Surroundings here;
    here.config = (root / "config/gpcsup.toml").string();
    here.config_was_named = true;
    here.unit_directories = {(root / units).string()};
    auto loaded = Configuration::load(here);
    REQUIRE(loaded);
    return std::move(*loaded);
}

}  // namespace

TEST_CASE("the shipped configuration and units have no problem, each directory for itself") {
    for (const char* directory : {"units/examples", "units/system"}) {
        const Configuration shipped = load_shipped(directory);
        CHECK(shipped.problems() == std::vector<std::string>{});
        CHECK(shipped.hierarchies().size() >= 2);
        int units = 0;
        for (const std::string_view name : shipped.graph().names()) {
            const units::Node& node = shipped.graph()[*shipped.graph().find(name)];
            if (name != "default") {
                INFO(name);
                CHECK_FALSE(node.declaration->description.empty());
                ++units;
            }
        }
        CHECK(units > 0);
    }
}

TEST_CASE("the shipped configuration binds every controller: limits work out of the box") {
    const Configuration shipped = load_shipped("units/system");
    std::set<std::string> bound;
    for (const auto& hierarchy : shipped.hierarchies()) {
        bound.insert(hierarchy.controllers.begin(), hierarchy.controllers.end());
    }
    std::set<std::string> known;
    for (const std::string_view name : controllers::controller_names()) {
        known.emplace(name);
    }
    known.erase("lodger");  // which lives in tests/
    CHECK(bound == known);
}
