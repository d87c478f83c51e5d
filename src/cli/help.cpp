#include "cli/help.h"

#include <algorithm>
#include <array>

#include "cli/text.h"
#include "control/event_names.h"

namespace gpcsup::cli {

namespace {

constexpr std::array sections{Section::reading, Section::services, Section::groups, Section::system,
                              Section::files};

std::string flags_text(const Option& option) {
    std::string text(option.flags);
    if (const std::size_t comma = text.find(','); comma != std::string::npos) {
        text.replace(comma, 1, ", ");
    } else {
        text = "    " + text;
    }
    return text + (takes(option) == Takes::value ? " " : "") + std::string(option.value);
}

std::string rows(std::span<const std::pair<std::string, std::string>> entries) {
    std::size_t width = 0;
    for (const auto& [name, help] : entries) {
        width = std::max(width, columns(name));
    }
    std::string text;
    for (const auto& [name, help] : entries) {
        text += "  " + pad(name, width) + "  " + help + "\n";
    }
    return text;
}

std::string options_help(std::span<const Option> options) {
    std::vector<std::pair<std::string, std::string>> entries;
    for (const Option& option : options) {
        entries.emplace_back(flags_text(option), std::string(option.help));
    }
    return rows(entries);
}

std::vector<Option> options_of(const Verb& verb) {
    std::vector<Option> options = verb.options;
    if (verb.reads == Reads::json) {
        options.push_back({json_flag, "", "print the answer as JSON"});
    }
    return options;
}

// Text for roff: a dash is a minus, a backslash is itself, and no line begins with a dot.
std::string roff(std::string_view text) {
    std::string result;
    for (const char c : text) {
        if (c == '-') {
            result += "\\-";
        } else if (c == '\\') {
            result += "\\e";
        } else {
            result += (c == '.' || c == '\'') && (result.empty() || result.back() == '\n')
                          ? std::string("\\&") + c
                          : std::string(1, c);
        }
    }
    return result;
}

std::string roff_options(std::span<const Option> options) {
    std::string text;
    for (const Option& option : options) {
        std::string flags = roff(option.flags);
        if (const std::size_t comma = flags.find(','); comma != std::string::npos) {
            flags.replace(comma, 1, "\\fR, \\fB");
        }
        text += ".TP\n\\fB" + flags + "\\fR";
        const std::string_view space = takes(option) == Takes::value ? " " : "";
        text += option.value.empty() ? "\n" : std::string(space) + "\\fI" + roff(option.value) + "\\fR\n";
        text += roff(option.help) + "\n";
    }
    return text;
}

}  // namespace

std::string program_help() {
    std::string text =
        "gpcsup: shows and changes what the supervisor does. Without a verb: status.\n\n"
        "usage: gpcsup [OPTION]... VERB [ARGUMENT]...\n";
    for (const Section section : sections) {
        std::vector<std::pair<std::string, std::string>> entries;
        for (const Verb& verb : verbs()) {
            if (verb.section == section) {
                entries.emplace_back(std::string(verb.words), std::string(verb.help));
            }
        }
        text += "\n" + std::string(heading(section)) + ":\n" + rows(entries);
    }
    text += "\nWith every verb:\n" + options_help(global_options());
    text +=
        "\nExit codes: 0 done; 1 tried and failed; 2 timed out; 3 not active; 4 no such object; 5 denied; 64 "
        "usage;\n"
        "69 no supervisor there. \"gpcsup VERB --help\" tells more about one.\n";
    return text;
}

std::string verb_help(const Verb& verb) {
    std::string text = "usage: gpcsup " + synopsis(verb) + "\n\n" + std::string(verb.help) + "\n";
    if (!verb.details.empty()) {
        text += "\n" + std::string(verb.details) + "\n";
    }
    const std::vector<Option> own = options_of(verb);
    if (!own.empty()) {
        text += "\nOptions:\n" + options_help(own);
    }
    return text + "\nWith every verb:\n" + options_help(global_options());
}

std::string manual_sections() {
    std::string text = ".SH COMMANDS\n";
    for (const Section section : sections) {
        text += ".SS " + std::string(heading(section)) + "\n";
        for (const Verb& verb : verbs()) {
            if (verb.section != section) {
                continue;
            }
            text += ".TP\n\\fB" + roff(synopsis(verb)) + "\\fR\n" + roff(verb.help) + ".\n";
            if (!verb.details.empty()) {
                text += roff(verb.details) + "\n";
            }
            if (!verb.options.empty()) {
                text += ".RS\n" + roff_options(verb.options) + ".RE\n";
            }
        }
    }
    std::string events = ".SH EVENTS\nWhat \\fBgpcsup events\\fR can tell, by name.\n";
    for (const auto& row : control::event_names) {
        events += ".TP\n\\fB" + roff(row.name) + "\\fR\n" + roff(row.about) + ".\n";
    }
    return text + events + ".SH OPTIONS\nThese are understood with every command.\n" +
           roff_options(global_options()) +
           ".TP\n\\fB\\-\\-json\\fR\nOf every command that reads: print the answer as JSON.\n";
}

}  // namespace gpcsup::cli
