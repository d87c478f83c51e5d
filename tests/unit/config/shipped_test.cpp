// The files that are shipped, and the corpus of the fuzzer.

#include <algorithm>
#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "../fuzz/config_input.h"
#include "config/fake_catalogue.h"
#include "config/load.h"

using namespace gpcsup;
using namespace gpcsup::config;
namespace fs = std::filesystem;

namespace {

// tests/unit/config → the root of the sources
const fs::path root = fs::path(__FILE__).parent_path().parent_path().parent_path().parent_path();

}  // namespace

TEST_CASE("the shipped configuration and units have no problem, each directory for itself") {
    const test::FakeCatalogue catalogue;
    for (const char* directory : {"units/examples", "units/system"}) {
        const Loaded loaded =
            load({(root / "config/gpcsup.toml").string(), {(root / directory).string()}}, &catalogue);
        for (const Located& problem : loaded.problems) {
            FAIL_CHECK(format(problem));
        }
        CHECK_FALSE(loaded.units.empty());
        CHECK(loaded.hierarchies.size() >= 2);
        CHECK(std::ranges::all_of(loaded.units,
                                  [](const units::Declaration& unit) { return !unit.description.empty(); }));
    }
}

TEST_CASE("every input of the fuzzer's corpus is survived") {
    unsigned inputs = 0;
    for (const auto& entry : fs::directory_iterator(root / "tests/fuzz/corpus/config")) {
        INFO(entry.path().filename().string());
        std::ostringstream text;
        text << std::ifstream(entry.path(), std::ios::binary).rdbuf();
        const std::string whole = text.str();
        REQUIRE_NOTHROW(fuzz::feed(whole));
        for (std::size_t cut = 0; cut < std::min<std::size_t>(whole.size(), 400); ++cut) {
            REQUIRE_NOTHROW(
                fuzz::feed(std::string_view(whole).substr(0, cut)));  // a file that is being written
        }
        ++inputs;
    }
    CHECK(inputs >= 15);
}
