#include "grouping/delegation.h"

#include <cerrno>

namespace gpcsup::grouping {

namespace {

std::string_view verb(Manage what) {
    switch (what) {
        case Manage::create:
            return "create groups in";
        case Manage::remove:
            return "remove";
        case Manage::rename:
            return "rename";
        case Manage::set_limit:
            return "set limits of";
        case Manage::set_flag:
            return "change settings of";
        case Manage::set_owner:
            return "change the owner of";
        case Manage::attach:
            return "move processes into or out of";
        case Manage::signal:
            return "send signals to";
        case Manage::freeze:
            return "freeze or thaw";
    }
    __builtin_unreachable();
}

// Whether the act concerns what is within the group, so that its own owner may, or the group in its parent's
// eyes, so that an owner above is needed.
bool is_within_the_group(Manage what) {
    return what == Manage::create || what == Manage::set_flag || what == Manage::attach ||
           what == Manage::signal || what == Manage::freeze;
}

}  // namespace

base::Result<> may_manage(const Forest& forest, std::uint32_t uid, GroupId id, Manage what) {
    const Group* at = forest.group(id);
    if (at == nullptr) {
        return base::refuse(ENOENT, "there is no such group");
    }
    const std::string act =
        "uid " + std::to_string(uid) + " may not " + std::string(verb(what)) + " " + forest.full_path(id);
    if (what == Manage::set_owner) {
        return base::refuse(EACCES, act, "only root and the supervisor's own user may");
    }
    const bool is_top = at->owner == uid;
    if (is_top && is_within_the_group(what)) {
        return {};
    }
    for (const Group* above = forest.group(at->parent); above != nullptr;
         above = forest.group(above->parent)) {
        if (above->owner == uid) {
            return {};
        }
    }
    if (is_top) {
        return base::refuse(EACCES, act, "it is the top of what is delegated to that user; below it he may");
    }
    return base::refuse(EACCES, act,
                        at->owner ? "it is delegated to uid " + std::to_string(*at->owner)
                                  : "it is not delegated to that user, see group.owner");
}

}  // namespace gpcsup::grouping
