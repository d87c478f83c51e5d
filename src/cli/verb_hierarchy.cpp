// hierarchy create, remove, rebind: which controllers drive which tree of groups.

#include "cli/handlers.h"
#include "cli/session.h"

namespace gpcsup::cli {

namespace {

// The name, then any number of controllers.
using Change = base::Result<> (control::Client::*)(const std::string& name,
                                                   const control::Names& controllers);

base::Result<int> with_controllers(Session& session, Change change) {
    auto client = session.client();
    if (!client) {
        return base::pass(client);
    }
    const auto& words = session.words();
    auto done = ((*client)->*change)(words[0], {words.begin() + 1, words.end()});
    return done ? base::Result<int>(0) : base::pass(done);
}

}  // namespace

base::Result<int> do_hierarchy_create(Session& session) {
    return with_controllers(session, &control::Client::create_hierarchy);
}

base::Result<int> do_hierarchy_rebind(Session& session) {
    return with_controllers(session, &control::Client::rebind_hierarchy);
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
