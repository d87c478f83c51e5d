// The reading verbs that ask one question and show its answer.

#include <algorithm>

#include "cli/handlers.h"
#include "cli/render_lists.h"
#include "cli/session.h"
#include "control/errors.h"

namespace gpcsup::cli {

namespace {

std::string word_or_empty(const Session& session, std::size_t index) {
    return session.words().size() > index ? session.words()[index] : std::string();
}

// Asks by QUESTION (a function of the client) and shows the answer by RENDER.
template <class Question>
base::Result<int> ask(Session& session, Question question, Render render) {
    auto client = session.client();
    if (!client) {
        return base::pass(client);
    }
    return show(session, question(**client), render);
}

// One attribute: its value and nothing else, for scripts.
std::string render_value(const Json& answer, const Look&) {
    std::string text;
    for (const auto& [name, value] : object_of(answer, "attributes").items()) {
        text += value_text(value) + "\n";
    }
    return text;
}

}  // namespace

base::Result<int> do_list(Session& session) {
    return ask(
        session, [](control::Client& client) { return client.list(); }, render_list);
}

base::Result<int> do_tree(Session& session) {
    return ask(
        session, [&](control::Client& client) { return client.tree(word_or_empty(session, 0)); },
        render_tree);
}

base::Result<int> do_ps(Session& session) {
    return ask(
        session, [&](control::Client& client) { return client.processes(word_or_empty(session, 0)); },
        render_processes);
}

base::Result<int> do_get(Session& session) {
    const std::string attribute = word_or_empty(session, 1);
    return ask(
        session, [&](control::Client& client) { return client.get(session.words()[0], attribute); },
        attribute.empty() ? render_attributes : render_value);
}

base::Result<int> do_group_list(Session& session) {
    return ask(
        session, [&](control::Client& client) { return client.groups(word_or_empty(session, 0)); },
        render_groups);
}

base::Result<int> do_hierarchy_list(Session& session) {
    return ask(
        session, [](control::Client& client) { return client.hierarchies(); }, render_hierarchies);
}

base::Result<int> do_why(Session& session) {
    return ask(
        session, [&](control::Client& client) { return client.why(session.words()[0]); }, render_why);
}

base::Result<int> do_is_active(Session& session) {
    auto client = session.client();
    if (!client) {
        return base::pass(client);
    }
    auto answer = (*client)->status(session.words(), control::Detail::plain);
    if (!answer) {
        return base::pass(answer);
    }
    auto status = parse_answer(*answer);
    if (!status) {
        return base::pass(status);
    }
    const Json& units = list_of(*status, "units");
    const std::string state = units.empty() ? std::string() : text_of(units.front(), "state");
    if (session.wants_json()) {
        print_line(*answer);
    } else if (!session.quiet()) {
        print_line(state);
    }
    return state == "active" || state == "reloading" ? 0 : control::exit_inactive;
}

}  // namespace gpcsup::cli
