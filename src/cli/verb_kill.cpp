// kill: a signal to all processes of a unit or group.

#include <cerrno>
#include <csignal>

#include "cli/handlers.h"
#include "cli/session.h"
#include "cli/signals.h"
#include "cli/survivors.h"

namespace gpcsup::cli {

namespace {

// Until none is left, or gpcsupd has lost its patience. What is gone altogether was killed.
base::Result<int> wait_for_end(control::Client& client, const std::string& what) {
    auto answer = client.wait_killed(what);
    if (!answer) {
        const int code = answer.error().code;
        return code == ENOENT || code == ESRCH ? base::Result<int>(0) : base::pass(answer);
    }
    auto ended = parse_answer(*answer);
    return ended ? base::Result<int>(complain_of_survivors(*ended)) : base::pass(ended);
}

}  // namespace

base::Result<int> do_kill(Session& session) {
    int signal = SIGTERM;
    if (const auto name = session.arguments().value("--signal")) {
        auto parsed = parse_signal(*name);
        if (!parsed) {
            return base::pass(parsed);
        }
        signal = *parsed;
    }
    auto client = session.client();
    if (!client) {
        return base::pass(client);
    }
    const auto whom = session.arguments().has("--main") ? control::Whom::main : control::Whom::all;
    auto count = (*client)->kill(session.words()[0], signal, whom);
    if (!count) {
        return base::pass(count);
    }
    if (!session.quiet()) {
        print_line(std::to_string(*count) + (*count == 1 ? " process" : " processes"));
    }
    const bool waits =
        signal == SIGKILL && whom == control::Whom::all && !session.arguments().has("--no-wait");
    return waits ? wait_for_end(**client, session.words()[0]) : base::Result<int>(0);
}

}  // namespace gpcsup::cli
