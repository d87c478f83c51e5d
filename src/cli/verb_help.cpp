// help and completion: what the table of verbs says, in other forms.

#include <cerrno>

#include "cli/completion.h"
#include "cli/handlers.h"
#include "cli/help.h"
#include "cli/session.h"
#include "cli/signals.h"
#include "control/event_names.h"

namespace gpcsup::cli {

namespace {

// One member of each object in a list of the answer. Without a supervisor there is nothing to offer, which is
// no error.
std::vector<std::string> words_of(const base::Result<std::string>& answer, const char* list,
                                  const char* key) {
    std::vector<std::string> words;
    auto parsed = answer ? parse_answer(*answer) : base::Result<Json>(Json::object());
    if (parsed) {
        for (const Json& each : list_of(*parsed, list)) {
            words.push_back(text_of(each, key));
        }
    }
    return words;
}

// Those of all hierarchies, then those in none.
std::vector<std::string> controllers_of(const base::Result<std::string>& answer) {
    std::vector<std::string> words;
    auto parsed = answer ? parse_answer(*answer) : base::Result<Json>(Json::object());
    const auto add = [&words](const Json& list) {
        for (const Json& each : list) {
            words.push_back(value_text(each));
        }
    };
    if (parsed) {
        for (const Json& hierarchy : list_of(*parsed, "hierarchies")) {
            add(list_of(hierarchy, "controllers"));
        }
        add(list_of(*parsed, "unbound"));
    }
    return words;
}

std::vector<std::string> words_from(control::Client& client, const std::string& kind) {
    if (kind == "unit") {
        return words_of(client.list(), "units", "name");
    }
    if (kind == "group") {
        return words_of(client.groups(""), "groups", "group");
    }
    if (kind == "hierarchy") {
        return words_of(client.hierarchies(), "hierarchies", "name");
    }
    if (kind == "controller") {
        return controllers_of(client.hierarchies());
    }
    if (kind == "setting") {
        return words_of(client.describe(control::DescribeWhat::settings), "settings", "key");
    }
    return words_of(client.describe(control::DescribeWhat::attributes), "attributes", "name");
}

base::Result<int> print_words(Session& session, const std::string& kind) {
    std::vector<std::string> words;
    if (kind == "signal") {
        words = signal_names();
    } else if (kind == "event") {
        for (const auto& row : control::event_names) {
            words.emplace_back(row.name);
        }
    } else if (kind == "unit" || kind == "group" || kind == "hierarchy" || kind == "controller" ||
               kind == "setting" || kind == "attribute") {
        if (auto client = session.client()) {
            words = words_from(**client, kind);
        }
    } else {
        return base::refuse(
            EINVAL, "there are no words of the kind \"" + kind + "\"",
            "there are: unit, group, hierarchy, controller, attribute, setting, signal, event");
    }
    for (const auto& word : words) {
        print_line(word);
    }
    return 0;
}

}  // namespace

base::Result<int> do_completion(Session& session) {
    const std::string& what = session.words()[0];
    if (what == "words") {
        return print_words(session, session.words().size() > 1 ? session.words()[1] : std::string());
    }
    if (what != "bash" && what != "zsh" && what != "man") {
        return base::refuse(EINVAL, "there is no completion for \"" + what + "\"", "there is bash and zsh");
    }
    print(what == "bash" ? bash_completion() : what == "zsh" ? zsh_completion() : manual_sections());
    return 0;
}

base::Result<int> do_help(Session& session) {
    if (session.words().empty()) {
        print(program_help());
        return 0;
    }
    std::string words;
    for (const auto& word : session.words()) {
        words += (words.empty() ? "" : " ") + word;
    }
    const Verb* verb = find_verb(words);
    if (verb == nullptr) {
        return base::refuse(EINVAL, "there is no verb \"" + words + "\"", "see gpcsup --help");
    }
    print(verb_help(*verb));
    return 0;
}

}  // namespace gpcsup::cli
