#include "supervisor/move_rights.h"

#include <unistd.h>

#include <cerrno>
#include <string>

namespace gpcsup::supervisor {

using grouping::GroupId;

GroupId common_ancestor(const grouping::Forest& forest, GroupId one, GroupId other) {
    const grouping::Group* at = forest.group(one);
    while (at != nullptr && !forest.is_within(other, at->id)) {
        at = forest.group(at->parent);
    }
    return at != nullptr ? at->id : GroupId{};
}

// The start time is compared after the file has been read: what was read is then this process's.
base::Result<> MoveRights::check_user(const control::Caller& caller,
                                      const processes::Process& process) const {
    const auto status = files_.status(process.pid);
    const auto now = files_.stat(process.pid);
    const auto users = sys::users_of(status ? std::string_view(*status) : std::string_view());
    if (!users || !now || now->start_time != process.start_time) {
        return base::refuse(ESRCH, "the process has ended");
    }
    if (caller.uid == users->real || caller.uid == users->saved) {
        return {};
    }
    return base::refuse(EACCES, "it is a process of user " + std::to_string(users->real) + ", not of user " +
                                    std::to_string(caller.uid) + " who asks");
}

base::Result<> MoveRights::check(const control::Caller& caller, const processes::Process& process,
                                 const Way& way) const {
    if (caller.uid == 0 || caller.uid == geteuid()) {
        return {};
    }
    if (auto own = check_user(caller, process); !own) {
        return own;
    }
    if (auto there = may_manage_(caller, way.target); !there) {
        return there;
    }
    return may_manage_(caller, common_ancestor(forest_, way.source, way.target));
}

}  // namespace gpcsup::supervisor
