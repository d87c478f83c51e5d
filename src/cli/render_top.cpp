#include "cli/render_top.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "cli/text.h"

namespace gpcsup::cli {

namespace {

std::string percent_text(double percent) {
    const auto tenths = static_cast<std::int64_t>(std::llround(percent * 10));
    return std::to_string(tenths / 10) + "." + std::to_string(tenths % 10);
}

}  // namespace

std::vector<Usage> usages(const Json& before, const Json& after, std::chrono::nanoseconds between) {
    std::map<std::string, std::int64_t> earlier;
    for (const Json& unit : list_of(before, "units")) {
        earlier[text_of(unit, "name")] = number_of(unit, "cpu_ns").value_or(0);
    }
    std::vector<Usage> result;
    for (const Json& unit : list_of(after, "units")) {
        Usage usage{text_of(unit, "name"), text_of(unit, "state"), number_of(unit, "processes").value_or(0),
                    number_of(unit, "cpu_ns").value_or(0), 0};
        const auto found = earlier.find(usage.unit);
        const std::int64_t used =
            found == earlier.end() ? 0 : std::max<std::int64_t>(usage.cpu_ns - found->second, 0);
        usage.cpu_percent = between.count() > 0
                                ? 100.0 * static_cast<double>(used) / static_cast<double>(between.count())
                                : 0;
        if (usage.processes > 0 || used > 0) {
            result.push_back(std::move(usage));
        }
    }
    std::ranges::stable_sort(result, [](const Usage& a, const Usage& b) {
        return a.cpu_percent != b.cpu_percent ? a.cpu_percent > b.cpu_percent : a.cpu_ns > b.cpu_ns;
    });
    return result;
}

std::string render_top(const std::vector<Usage>& usages, std::size_t rows, const Look& look) {
    Table table(
        {{"%CPU", Align::right}, {"CPU", Align::right}, {"PROCS", Align::right}, {"STATE"}, {"UNIT"}});
    for (std::size_t i = 0; i < usages.size() && (rows == 0 || i < rows); ++i) {
        const Usage& usage = usages[i];
        table.add({percent_text(usage.cpu_percent), cpu_time(usage.cpu_ns), std::to_string(usage.processes),
                   paint(look, tone_of_state(usage.state), usage.state), usage.unit});
    }
    std::string text;
    bool is_heading = true;
    for (const auto& line : table.lines(look.width)) {
        text += (is_heading ? paint(look, Tone::faint, line) : line) + "\n";
        is_heading = false;
    }
    return text;
}

Json top_json(const std::vector<Usage>& usages, std::chrono::nanoseconds between) {
    Json units = Json::array();
    for (const Usage& usage : usages) {
        units.push_back({{"name", usage.unit},
                         {"state", usage.state},
                         {"processes", usage.processes},
                         {"cpu_ns", usage.cpu_ns},
                         {"cpu_percent", usage.cpu_percent}});
    }
    return {{"schema", 1}, {"interval_ns", between.count()}, {"units", std::move(units)}};
}

}  // namespace gpcsup::cli
