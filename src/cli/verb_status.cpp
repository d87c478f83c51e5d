// status: the screen, or units in full.

#include <algorithm>

#include "cli/handlers.h"
#include "cli/log_tail.h"
#include "cli/render_status.h"
#include "cli/session.h"
#include "control/errors.h"

namespace gpcsup::cli {

namespace {

bool is_up(const std::string& state) {
    return state == "active" || state == "reloading" || state == "done";
}

// Whose processes may not be seen is shown without them.
Json processes_of(control::Client& client, const std::string& unit) {
    auto answer = client.processes(unit);
    if (!answer) {
        return Json::object();
    }
    auto parsed = parse_answer(*answer);
    return parsed ? std::move(*parsed) : Json::object();
}

int exit_of(const Json& status) {
    const Json& units = list_of(status, "units");
    const bool up =
        std::ranges::all_of(units, [](const Json& unit) { return is_up(text_of(unit, "state")); });
    return up ? 0 : control::exit_inactive;
}

void show_units(Session& session, control::Client& client, const Json& status) {
    const char* between = "";
    for (const Json& unit : list_of(status, "units")) {
        const bool has_processes = number_of(unit, "processes").value_or(0) > 0;
        const Json processes = has_processes ? processes_of(client, text_of(unit, "name")) : Json::object();
        print(between + render_unit(unit, processes, session.look()));
        between = "\n";
    }
}

}  // namespace

base::Result<int> do_status(Session& session) {
    auto client = session.client();
    if (!client) {
        return base::pass(client);
    }
    const bool verbose = session.arguments().has("--verbose");
    const bool all = session.words().empty();
    const auto detail = verbose ? control::Detail::settings : control::Detail::plain;
    auto answer = (*client)->status(session.words(), detail);
    if (!answer) {
        return base::pass(answer);
    }
    auto status = parse_answer(*answer);
    if (!status) {
        return base::pass(status);
    }
    const int exit = all ? 0 : exit_of(*status);
    if (session.wants_json()) {
        auto shown = show(session, answer, render_overview);
        return shown ? base::Result<int>(exit) : shown;
    }
    const bool screen = all && !verbose;
    add_log_tails(*status, screen ? Whose::failing : Whose::all);
    if (screen) {
        print(render_overview(*status, session.look()));
        return exit;
    }
    show_units(session, **client, *status);
    return exit;
}

}  // namespace gpcsup::cli
