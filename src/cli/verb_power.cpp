// poweroff, reboot, halt, exit, reexec.

#include <cerrno>

#include "cli/handlers.h"
#include "cli/session.h"

namespace gpcsup::cli {

namespace {

base::Result<int> order(Session& session, control::ShutdownHow how) {
    auto client = session.client();
    if (!client) {
        return base::pass(client);
    }
    auto done = (*client)->shutdown(how);
    return done ? base::Result<int>(0) : base::pass(done);
}

}  // namespace

base::Result<int> do_poweroff(Session& session) {
    return order(session, control::ShutdownHow::poweroff);
}
base::Result<int> do_reboot(Session& session) {
    return order(session, control::ShutdownHow::reboot);
}
base::Result<int> do_halt(Session& session) {
    return order(session, control::ShutdownHow::halt);
}

base::Result<int> do_exit(Session& session) {
    auto timeout = session.timeout();
    if (!timeout) {
        return base::pass(timeout);
    }
    auto ordered = order(session, control::ShutdownHow::exit);
    if (!ordered || session.arguments().has("--no-wait")) {
        return ordered;
    }
    auto client = session.client();
    if (!client) {
        return base::pass(client);
    }
    auto gone = (*client)->wait_gone(timeout->value_or(base::Duration(0)));
    return gone ? base::Result<int>(0) : base::pass(gone);
}

base::Result<int> do_reexec(Session& session) {
    auto client = session.client();
    if (!client) {
        return base::pass(client);
    }
    auto done = (*client)->reexec();
    return done ? base::Result<int>(0) : base::pass(done);
}

}  // namespace gpcsup::cli
