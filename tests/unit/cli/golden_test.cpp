// Every picture the command line draws, as text: golden/NAME.json (what is rendered, how, and the
// supervisor's answer) against golden/NAME.txt. With GPCSUP_GOLDEN_UPDATE=1 the texts are written anew; look
// at the difference before you commit it.

#include <algorithm>
#include <catch2/catch.hpp>
#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>

#include "cli/json.h"
#include "cli/look.h"
#include "cli/render_lists.h"
#include "cli/render_status.h"
#include "cli/render_top.h"
#include "cli/text.h"

namespace cli = gpcsup::cli;
using cli::Json;

namespace {

std::string read_file(const std::filesystem::path& path) {
    std::ifstream file(path);
    std::stringstream text;
    text << file.rdbuf();
    return text.str();
}

cli::Look look_of_case(const Json& described) {
    cli::Look look;
    look.now_ns = 1'795'471'830'000'000'000;  // 2026-11-23 22:10:30 UTC
    look.width = static_cast<std::size_t>(cli::number_of(described, "width").value_or(0));
    look.colour =
        cli::truth_of(described, "colour") == cli::Truth::yes ? cli::Colour::always : cli::Colour::never;
    look.glyphs =
        cli::truth_of(described, "ascii") == cli::Truth::yes ? cli::Glyphs::ascii : cli::Glyphs::unicode;
    return look;
}

std::string render_unit_case(const Json& test, const cli::Look& look) {
    const Json& units = cli::list_of(cli::object_of(test, "answer"), "units");
    return cli::render_unit(units.front(), cli::object_of(test, "processes"), look);
}

std::string render_events_case(const Json& test, const cli::Look& look) {
    std::string text;
    for (const Json& event : cli::list_of(cli::object_of(test, "answer"), "events")) {
        text += cli::render_event(event, look) + "\n";
    }
    return text;
}

std::string render_top_case(const Json& test, const cli::Look& look) {
    const auto usages =
        cli::usages(cli::object_of(test, "before"), cli::object_of(test, "answer"), std::chrono::seconds(2));
    return cli::render_top(usages, 0, look);
}

std::string render_case(const Json& test) {
    const cli::Look look = look_of_case(test);
    const std::string what = cli::text_of(test, "render");
    if (what == "unit") {
        return render_unit_case(test, look);
    }
    if (what == "events") {
        return render_events_case(test, look);
    }
    if (what == "top") {
        return render_top_case(test, look);
    }
    static const std::map<std::string, std::string (*)(const Json&, const cli::Look&)> renders{
        {"overview", cli::render_overview},     {"list", cli::render_list},
        {"processes", cli::render_processes},   {"tree", cli::render_tree},
        {"groups", cli::render_groups},         {"hierarchies", cli::render_hierarchies},
        {"attributes", cli::render_attributes}, {"beancounters", cli::render_beancounters},
        {"attached", cli::render_attached},     {"why", cli::render_why},
    };
    return renders.at(what)(cli::object_of(test, "answer"), look);
}

std::size_t widest_line(const std::string& text) {
    std::istringstream lines(text);
    std::size_t widest = 0;
    for (std::string line; std::getline(lines, line);) {
        widest = std::max(widest, cli::columns(line));
    }
    return widest;
}

}  // namespace

TEST_CASE("Every picture is as its golden text") {
    setenv("TZ", "UTC", 1);
    tzset();
    const std::filesystem::path directory = std::filesystem::path(__FILE__).parent_path() / "golden";
    std::vector<std::filesystem::path> cases;
    for (const auto& entry : std::filesystem::directory_iterator(directory)) {
        if (entry.path().extension() == ".json") {
            cases.push_back(entry.path());
        }
    }
    std::ranges::sort(cases);
    REQUIRE(cases.size() >= 20);
    for (const auto& path : cases) {
        DYNAMIC_SECTION(path.stem().string()) {
            const auto test = cli::parse_answer(read_file(path));
            REQUIRE(test);
            const std::string text = render_case(*test);
            std::filesystem::path golden = path;
            golden.replace_extension(".txt");
            if (std::getenv("GPCSUP_GOLDEN_UPDATE") != nullptr) {
                std::ofstream(golden) << text;
            }
            CHECK(text == read_file(golden));
            const auto width = cli::number_of(*test, "width").value_or(0);
            if (width > 0 && cli::truth_of(*test, "may_overflow") != cli::Truth::yes) {
                CHECK(widest_line(text) <= static_cast<std::size_t>(width));
            }
        }
    }
}
