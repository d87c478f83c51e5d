#include "cli/log_tail.h"

#include "logging/reader.h"

namespace gpcsup::cli {

namespace {

Json last_lines_of(const std::string& path) {
    const std::size_t slash = path.rfind('/');
    constexpr std::string_view suffix = ".log";
    if (slash == std::string::npos || !path.ends_with(suffix)) {
        return Json::array();
    }
    const std::string name = path.substr(slash + 1, path.size() - slash - 1 - suffix.size());
    Json lines = Json::array();
    if (const auto tail = logging::last_lines(path.substr(0, slash), name, tail_lines)) {
        for (const auto& line : tail->lines) {
            lines.push_back(line.text);
        }
    }
    return lines;
}

}  // namespace

void add_log_tails(Json& status, Whose whose) {
    if (!status.contains("units") || !status["units"].is_array()) {
        return;
    }
    for (Json& unit : status["units"]) {
        const std::string state = text_of(unit, "state");
        const bool wanted = whose == Whose::all || state == "failed" || state == "backoff";
        if (wanted && unit.is_object() && !unit.contains("log_tail")) {
            unit["log_tail"] = last_lines_of(text_of(unit, "log"));
        }
    }
}

}  // namespace gpcsup::cli
