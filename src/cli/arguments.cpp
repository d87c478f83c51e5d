#include "cli/arguments.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cerrno>
#include <deque>

#include "base/suggestion.h"

namespace gpcsup::cli {

namespace {

// "-s,--signal" → "--signal"
std::string_view longest_name(std::string_view flags) {
    return flags.substr(flags.rfind(',') + 1);
}

bool takes_value(std::string_view argument) {
    for (const Option& option : global_options()) {
        if (!option.value.empty() && longest_name(option.flags) == argument) {
            return true;
        }
    }
    return false;
}

// Where the verb's first word is, or the end.
std::size_t verb_position(const std::vector<std::string>& arguments) {
    std::size_t i = 0;
    while (i < arguments.size() && arguments[i].starts_with('-')) {
        i += takes_value(arguments[i]) ? 2 : 1;
    }
    return std::min(i, arguments.size());
}

std::string did_you_mean(std::string_view word, std::span<const std::string_view> known) {
    const auto near = base::nearest(word, known);
    return near ? "did you mean " + std::string(*near) + "?" : std::string();
}

base::Result<const Verb*> unknown_verb(const std::string& first, const std::string& second) {
    std::vector<std::string_view> known;
    std::string inner;
    for (const Verb& verb : verbs()) {
        const std::size_t space = verb.words.find(' ');
        if (space == std::string_view::npos) {
            known.push_back(verb.words);
        } else if (verb.words.substr(0, space) == first) {
            inner += (inner.empty() ? "" : ", ") + std::string(verb.words.substr(space + 1));
        }
    }
    if (!inner.empty()) {
        return base::refuse(EINVAL,
                            second.empty() ? "what to do with a " + first + " is missing"
                                           : "there is no verb \"" + first + " " + second + "\"",
                            "there are: " + inner);
    }
    known.emplace_back("group");
    known.emplace_back("hierarchy");
    std::string hint = did_you_mean(first, known);
    return base::refuse(EINVAL, "there is no verb \"" + first + "\"",
                        hint.empty() ? "see gpcsup --help" : hint);
}

// Takes the verb's words out of ARGUMENTS; status when there is none.
base::Result<const Verb*> take_verb(std::vector<std::string>& arguments) {
    const std::size_t at = verb_position(arguments);
    if (at == arguments.size()) {
        return find_verb("status");
    }
    const std::string first = arguments[at];
    const std::string second = at + 1 < arguments.size() ? arguments[at + 1] : std::string();
    const auto begin = arguments.begin() + static_cast<std::ptrdiff_t>(at);
    if (const Verb* verb = find_verb(first + " " + second); verb != nullptr && !second.empty()) {
        arguments.erase(begin, begin + 2);
        return verb;
    }
    if (const Verb* verb = find_verb(first); verb != nullptr) {
        arguments.erase(begin);
        return verb;
    }
    return unknown_verb(first, second.starts_with('-') ? std::string() : second);
}

// CLI11 does the lexing ("-n5", "-vq", "--lines=5", "--"); what is allowed and what is said about it is the
// table's.
class Lexer {
  public:
    Lexer(const Verb& verb, Arguments& into) : verb_(verb), into_(into) {
        app_.set_help_flag();
        app_.allow_extras();
        for (const Option& option : global_options()) {
            add(option);
        }
        if (verb.reads == Reads::json) {
            add({json_flag, "", "", Completes::nothing});
        }
        for (const Option& option : verb.options) {
            add(option);
        }
        if (verb.stops == Stops::at_command) {
            app_.prefix_command();
        } else {
            app_.add_option("words", into_.words);
        }
    }

    base::Result<> run(std::vector<std::string> arguments) {
        std::ranges::reverse(arguments);  // CLI11 takes them from the back
        try {
            app_.parse(arguments);
        } catch (const CLI::ArgumentMismatch& problem) {
            const std::string text = problem.what();  // "--group: 1 required TEXT missing"
            return base::refuse(EINVAL, text.substr(0, text.find(':')) + " needs a value", see_help());
        } catch (const CLI::ParseError& problem) {
            return base::refuse(EINVAL, problem.what(), see_help());
        }
        for (auto& [name, values] : values_) {
            for (auto& value : values) {
                into_.give(name, std::move(value));
            }
        }
        for (auto& [name, value] : perhaps_) {
            if (!value.empty()) {
                into_.give(name, value == "true" ? std::string() : std::move(value));
            }
        }
        for (auto& [name, count] : counts_) {
            for (int i = 0; i < count; ++i) {
                into_.give(name, {});
            }
        }
        return take_rest();
    }

  private:
    void add(const Option& option) {
        const std::string name(longest_name(option.flags));
        if (takes(option) == Takes::perhaps) {
            // CLI11 gives a flag without "=VALUE" the word "true".
            auto& place = perhaps_.emplace_back(name, std::string());
            app_.add_flag(std::string(option.flags), place.second);
        } else if (option.value.empty()) {
            auto& place = counts_.emplace_back(name, 0);
            app_.add_flag(std::string(option.flags), place.second);
        } else {
            auto& place = values_.emplace_back(name, std::vector<std::string>());
            app_.add_option(std::string(option.flags), place.second)->type_size(1)->allow_extra_args(false);
        }
        known_.push_back(name);
    }

    base::Result<> take_rest() {
        std::vector<std::string> rest = app_.remaining();
        if (verb_.stops == Stops::at_command) {
            const bool marked = !rest.empty() && rest.front() == "--";
            if (marked) {
                rest.erase(rest.begin());
            } else if (!rest.empty() && rest.front().starts_with('-')) {
                return unknown_option(rest.front());
            }
            into_.words = std::move(rest);
            return {};
        }
        for (const auto& extra : rest) {
            if (extra != "--") {
                return unknown_option(extra);
            }
        }
        return {};
    }

    base::Result<> unknown_option(const std::string& given) const {
        const std::string name = given.substr(0, given.find('='));
        std::string hint;
        if (name.starts_with("--")) {
            std::vector<std::string_view> known(known_.begin(), known_.end());
            hint = did_you_mean(name, known);
        }
        return base::refuse(EINVAL, "gpcsup " + std::string(verb_.words) + " has no option " + name,
                            hint.empty() ? see_help() : hint);
    }

    [[nodiscard]] std::string see_help() const {
        return "see gpcsup " + std::string(verb_.words) + " --help";
    }

    const Verb& verb_;
    Arguments& into_;
    CLI::App app_;
    std::deque<std::pair<std::string, int>> counts_;  // a deque: CLI11 keeps references
    std::deque<std::pair<std::string, std::string>> perhaps_;
    std::deque<std::pair<std::string, std::vector<std::string>>> values_;
    std::vector<std::string> known_;
};

base::Result<> check_count(const Arguments& arguments) {
    const Verb& verb = *arguments.verb;
    const std::string usage = "usage: gpcsup " + synopsis(verb);
    std::size_t least = 0;
    std::size_t most = 0;
    bool unbounded = verb.stops == Stops::at_command;
    for (const Positional& positional : verb.positionals) {
        if (arguments.words.size() < least + positional.least) {
            return base::refuse(EINVAL, std::string(positional.name) + " is missing", usage);
        }
        least += positional.least;
        most += positional.most;
        unbounded = unbounded || positional.most == 0;
    }
    if (!unbounded && arguments.words.size() > most) {
        return base::refuse(EINVAL, "\"" + arguments.words[most] + "\" is one argument too many", usage);
    }
    return {};
}

}  // namespace

bool Arguments::has(std::string_view option) const {
    return options_.contains(option);
}

std::optional<std::string> Arguments::value(std::string_view option) const {
    const auto found = options_.find(option);
    return found == options_.end() ? std::nullopt : std::optional(found->second.back());
}

std::vector<std::string> Arguments::values(std::string_view option) const {
    const auto found = options_.find(option);
    return found == options_.end() ? std::vector<std::string>() : found->second;
}

const Verb* meant_verb(std::vector<std::string> arguments) {
    const auto verb = take_verb(arguments);
    return verb ? *verb : nullptr;
}

base::Result<Arguments> parse_arguments(const std::vector<std::string>& given) {
    Arguments arguments;
    std::vector<std::string> rest = given;
    const std::size_t at = verb_position(rest);
    if (at == rest.size() && std::ranges::find(rest, "--version") != rest.end()) {
        arguments.asks = Arguments::Asks::version;
        return arguments;
    }
    if (at == rest.size() &&
        (std::ranges::find(rest, "--help") != rest.end() || std::ranges::find(rest, "-h") != rest.end())) {
        arguments.asks = Arguments::Asks::help;
        return arguments;
    }
    auto verb = take_verb(rest);
    if (!verb) {
        return base::pass(verb);
    }
    arguments.verb = *verb;
    if (auto read = Lexer(**verb, arguments).run(std::move(rest)); !read) {
        return base::pass(read);
    }
    if (arguments.has("--help")) {
        arguments.asks = Arguments::Asks::help;
        return arguments;
    }
    if (arguments.has("--version")) {
        arguments.asks = Arguments::Asks::version;
        return arguments;
    }
    if (auto counted = check_count(arguments); !counted) {
        return base::pass(counted);
    }
    return arguments;
}

}  // namespace gpcsup::cli
