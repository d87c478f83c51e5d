#pragma once
// The verbs of gpcsup, each declared once: from these rows come parsing, help, completion and the manual
// page. A new verb is a row in verbs.cpp and a function in a file of its own.

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace gpcsup::cli {

class Session;
using Handler = base::Result<int> (*)(Session& session);  // the exit code

enum class Completes {
    nothing,
    unit,
    group,
    unit_or_group,
    hierarchy,
    controller,
    attribute,
    file,
    directory,
    signal,
    event,
    command,
    verb
};

struct Option {
    std::string_view flags;  // "-s,--signal"
    std::string_view value;  // name of its value in help; "" = a switch; "[=D]": `--flag` or `--flag=D`
    std::string_view help;
    Completes completes = Completes::nothing;
};

enum class Takes { nothing, value, perhaps };
constexpr Takes takes(const Option& option) {
    return option.value.empty()            ? Takes::nothing
           : option.value.starts_with('[') ? Takes::perhaps
                                           : Takes::value;
}

struct Positional {
    std::string_view name;  // as in help: "UNIT"
    unsigned least = 0;
    unsigned most = 0;  // 0 = any number
    Completes completes = Completes::nothing;
};

enum class Section { reading, services, groups, system, files };
enum class Reads { no, json };  // json: has --json
enum class Stops {
    never,
    at_command
};  // at_command: what follows the options is another program's command line

struct Verb {
    std::string_view words;  // "start", "group create"
    Section section;
    std::string_view help;     // one line
    std::string_view details;  // paragraphs of --help; may be empty
    std::vector<Option> options;
    std::vector<Positional> positionals;
    Handler handler;
    Reads reads = Reads::no;
    Stops stops = Stops::never;
};

std::span<const Verb> verbs();
std::span<const Option> global_options();
inline constexpr std::string_view json_flag = "--json";

const Verb* find_verb(std::string_view words);
// "start [--no-wait] [--timeout D] UNIT…"
std::string synopsis(const Verb& verb);
std::string_view heading(Section section);

}  // namespace gpcsup::cli
