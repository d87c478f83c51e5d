// enable, disable, mask: drop-in files in the configuration's unit directory.

#include <algorithm>

#include "cli/drop_in.h"
#include "cli/handlers.h"
#include "cli/session.h"

namespace gpcsup::cli {

namespace {

// Where units are: what --units says, what a running supervisor says, or the rule of INTERFACE.
std::vector<std::string> directories_of(Session& session) {
    if (const auto named = session.arguments().value("--units")) {
        return {*named};
    }
    std::vector<std::string> directories;
    if (auto client = session.client()) {
        auto answer = (*client)->status({}, control::Detail::plain);
        auto status = answer ? parse_answer(*answer) : base::Result<Json>(Json::object());
        if (status) {
            for (const Json& directory : list_of(object_of(*status, "supervisor"), "unit_directories")) {
                directories.push_back(value_text(directory));
            }
        }
    }
    return directories.empty() ? unit_directories(session.where().scope) : directories;
}

base::Result<int> write(Session& session, DropIn kind) {
    const std::vector<std::string> directories = directories_of(session);
    for (const auto& unit : session.words()) {
        if (auto found = find_unit_file(unit, directories); !found) {
            return base::pass(found);
        }
    }
    for (const auto& unit : session.words()) {
        auto written = write_drop_in(unit, kind, directories.front());
        if (!written) {
            return base::pass(written);
        }
        if (!session.quiet()) {
            print_line("wrote " + *written);
        }
    }
    return 0;
}

}  // namespace

base::Result<int> do_enable(Session& session) {
    return write(session, DropIn::enable);
}
base::Result<int> do_disable(Session& session) {
    return write(session, DropIn::disable);
}
base::Result<int> do_mask(Session& session) {
    return write(session, DropIn::mask);
}

}  // namespace gpcsup::cli
