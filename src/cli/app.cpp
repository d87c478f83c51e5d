#include "cli/app.h"

#include "cli/arguments.h"
#include "cli/help.h"
#include "cli/session.h"
#include "control/errors.h"

namespace gpcsup::cli {

namespace {

// `run` has exit codes of its own, so that the command's can be told from ours.
int status_of(const Verb* verb, const base::Error& error) {
    constexpr int run_failed = 125;
    const bool is_run = verb != nullptr && verb->stops == Stops::at_command;
    return is_run ? run_failed : control::exit_status(error);
}

}  // namespace

int run_program(const std::vector<std::string>& arguments) {
    auto parsed = parse_arguments(arguments);
    if (!parsed) {
        complain(parsed.error().message());
        return status_of(meant_verb(arguments), parsed.error());
    }
    if (parsed->asks == Arguments::Asks::version) {
        print_line("gpcsup " GPCSUP_VERSION);
        return 0;
    }
    if (parsed->asks == Arguments::Asks::help) {
        print(parsed->verb != nullptr ? verb_help(*parsed->verb) : program_help());
        return 0;
    }
    const Verb* verb = parsed->verb;
    Session session(std::move(*parsed));
    auto status = verb->handler(session);
    if (!status) {
        complain(status.error().message());
        return status_of(verb, status.error());
    }
    return *status;
}

}  // namespace gpcsup::cli
