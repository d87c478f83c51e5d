// start, stop, restart, reload: orders a job and waits for it.

#include "cli/handlers.h"
#include "cli/job.h"

namespace gpcsup::cli {

namespace {

base::Result<int> order(Session& session, control::JobVerb verb) {
    if (auto timeout = session.timeout(); !timeout) {  // a slip is said before anything is ordered
        return base::pass(timeout);
    }
    auto client = session.client();
    if (!client) {
        return base::pass(client);
    }
    auto job = (*client)->order(verb, session.words());
    if (!job) {
        return base::pass(job);
    }
    return session.arguments().has("--no-wait") ? base::Result<int>(0) : follow_job(session, **client, *job);
}

}  // namespace

base::Result<int> do_start(Session& session) {
    return order(session, control::JobVerb::start);
}
base::Result<int> do_stop(Session& session) {
    return order(session, control::JobVerb::stop);
}
base::Result<int> do_restart(Session& session) {
    return order(session, control::JobVerb::restart);
}
base::Result<int> do_reload(Session& session) {
    return order(session, control::JobVerb::reload);
}

}  // namespace gpcsup::cli
