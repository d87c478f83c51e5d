// The corpus of the fuzzer.

#include <algorithm>
#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "../fuzz/config_input.h"

using namespace gpcsup;
namespace fs = std::filesystem;

namespace {

// tests/unit/config → the root of the sources
const fs::path root = fs::path(__FILE__).parent_path().parent_path().parent_path().parent_path();

}  // namespace

TEST_CASE("every input of the fuzzer's corpus is survived") {
    unsigned inputs = 0;
    for (const auto& entry : fs::directory_iterator(root / "tests/fuzz/corpus/config")) {
        INFO(entry.path().filename().string());
        std::ostringstream text;
        text << std::ifstream(entry.path(), std::ios::binary).rdbuf();
        const std::string whole = text.str();
        REQUIRE_NOTHROW(config::fuzz::feed(whole));
        for (std::size_t cut = 0; cut < std::min<std::size_t>(whole.size(), 400); ++cut) {
            REQUIRE_NOTHROW(
                config::fuzz::feed(std::string_view(whole).substr(0, cut)));  // a file that is being written
        }
        ++inputs;
    }
    CHECK(inputs >= 15);
}
