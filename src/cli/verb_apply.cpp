// snapshot and apply: the groups as a file, and the files as they are now.

#include <algorithm>

#include "cli/handlers.h"
#include "cli/session.h"

namespace gpcsup::cli {

namespace {

// One step a line: "create-group  tenant:/acme".
std::string render_plan(const Json& answer, const Look&) {
    std::size_t widest = 0;
    for (const Json& step : list_of(answer, "steps")) {
        widest = std::max(widest, text_of(step, "action").size());
    }
    std::string text;
    for (const Json& step : list_of(answer, "steps")) {
        std::string action = text_of(step, "action");
        action.resize(widest, ' ');
        const std::string detail = text_of(step, "detail");
        text += action + "  " + text_of(step, "what") + (detail.empty() ? "" : "  (" + detail + ")") + "\n";
    }
    return text;
}

std::string render_problem(const Json& problem) {
    std::string text = text_of(problem, "file");
    if (!text.empty()) {
        text += ":" + std::to_string(number_of(problem, "line").value_or(0)) + ":" +
                std::to_string(number_of(problem, "column").value_or(0)) + ": ";
    }
    return text + text_of(problem, "message");
}

// The answer as the caller wants it; the exit code.
base::Result<int> show_plan(Session& session, const std::string& answer) {
    auto plan = parse_answer(answer);
    if (!plan) {
        return base::pass(plan);
    }
    if (session.wants_json()) {
        print_line(answer);
    } else if (!session.quiet()) {
        print(render_plan(*plan, session.look()));
    }
    const Json& problems = list_of(*plan, "problems");
    if (problems.empty()) {
        return 0;
    }
    if (!session.wants_json()) {
        for (const Json& problem : problems) {
            complain(render_problem(problem));
        }
        const Json& left = list_of(*plan, "left");
        for (const Json& what : left) {
            complain("not taken back: " + what.get<std::string>());
        }
        complain(left.empty() ? "nothing has been changed" : "everything else is as it was");
    }
    return 1;
}

bool has_steps(const std::string& answer) {
    auto plan = parse_answer(answer);
    return plan && !list_of(*plan, "steps").empty();
}

}  // namespace

base::Result<int> do_snapshot(Session& session) {
    auto client = session.client();
    if (!client) {
        return base::pass(client);
    }
    const auto text = (*client)->snapshot();
    if (!text) {
        return std::unexpected(text.error());
    }
    if (session.wants_json()) {
        print_line(Json{{"schema", 1}, {"toml", *text}}.dump());
    } else {
        print(*text);
    }
    return 0;
}

base::Result<int> do_apply(Session& session) {
    auto client = session.client();
    if (!client) {
        return base::pass(client);
    }
    const auto plan = (*client)->apply(control::ApplyHow::plan);
    if (!plan) {
        return std::unexpected(plan.error());
    }
    const bool only_plan = session.arguments().has("--dry-run");
    if (only_plan || !session.wants_json()) {
        auto shown = show_plan(session, *plan);
        if (!shown || *shown != 0 || only_plan) {
            return shown;
        }
    }
    // Also without a step: problems that were told of at boot may have been mended.
    const auto done = (*client)->apply(control::ApplyHow::apply);
    if (!done) {
        return std::unexpected(done.error());
    }
    auto result = parse_answer(*done);
    if (!result) {
        return base::pass(result);
    }
    // The plan has been shown; what was done is told where it differs, and where JSON is wanted.
    if (session.wants_json() || !list_of(*result, "problems").empty()) {
        return show_plan(session, *done);
    }
    if (!session.quiet()) {
        print_line(has_steps(*done) ? "done" : "nothing to do: the files are in force");
    }
    return 0;
}

}  // namespace gpcsup::cli
