// Broken files and what is said about them, as a person reads it: broken/NAME.toml and broken/NAME.expected.
// With GPCSUP_UPDATE_GOLDEN set, the expectations are written anew; read the difference before you commit it.

#include <algorithm>
#include <catch2/catch.hpp>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "config/fake_catalogue.h"
#include "config/load.h"

using namespace gpcsup::config;
namespace fs = std::filesystem;

namespace {

const test::FakeCatalogue catalogue;

std::string content(const fs::path& path) {
    std::ostringstream text;
    text << std::ifstream(path).rdbuf();
    return text.str();
}

}  // namespace

TEST_CASE("what is said about each broken file") {
    const fs::path directory = fs::path(__FILE__).parent_path() / "broken";
    unsigned files = 0;
    for (const auto& entry : fs::directory_iterator(directory)) {
        if (entry.path().extension() != ".toml") {
            continue;
        }
        ++files;
        std::string said;
        for (Located problem : check_file(entry.path().string(), &catalogue)) {
            problem.file = entry.path().filename().string();
            said += format(problem) + "\n";
        }
        fs::path expected = entry.path();
        expected.replace_extension(".expected");
        if (std::getenv("GPCSUP_UPDATE_GOLDEN") != nullptr) {
            std::ofstream(expected) << said;
        }
        INFO(entry.path().filename().string());
        CHECK_FALSE(said.empty());
        CHECK(said == content(expected));
    }
    CHECK(files >= 10);
}
