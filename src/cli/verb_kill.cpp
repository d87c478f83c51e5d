// kill: a signal to all processes of a unit or group.

#include <csignal>

#include "cli/handlers.h"
#include "cli/session.h"
#include "cli/signals.h"

namespace gpcsup::cli {

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
    return 0;
}

}  // namespace gpcsup::cli
