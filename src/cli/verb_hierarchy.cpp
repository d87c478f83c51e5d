// hierarchy create, remove, rebind: which controllers drive which tree of groups.

#include "cli/handlers.h"
#include "cli/session.h"

namespace gpcsup::cli {

namespace {

// Behind the name.
control::Names controllers_in(const Session& session) {
    const auto& words = session.words();
    return {words.begin() + 1, words.end()};
}

}  // namespace

base::Result<int> do_hierarchy_create(Session& session) {
    auto client = session.client();
    if (!client) {
        return base::pass(client);
    }
    auto done = (*client)->create_hierarchy(session.words()[0], controllers_in(session),
                                            session.arguments().value("--compat").value_or(""));
    return done ? base::Result<int>(0) : base::pass(done);
}

base::Result<int> do_hierarchy_rebind(Session& session) {
    auto client = session.client();
    if (!client) {
        return base::pass(client);
    }
    auto done = (*client)->rebind_hierarchy(session.words()[0], controllers_in(session));
    return done ? base::Result<int>(0) : base::pass(done);
}

base::Result<int> do_hierarchy_remove(Session& session) {
    auto client = session.client();
    if (!client) {
        return base::pass(client);
    }
    auto done = (*client)->remove_hierarchy(session.words()[0]);
    return done ? base::Result<int>(0) : base::pass(done);
}

}  // namespace gpcsup::cli
