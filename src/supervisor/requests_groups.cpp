// Requests about groups: settings, creation and removal.

#include "supervisor/requests.h"

namespace gpcsup::supervisor {

using control::Caller;
using grouping::GroupId;

void Requests::refused(Text event, const Caller& caller, GroupId group, const base::Error& error,
                       supervisor::Json details) {
    details["group"] = own_.forest_.full_path(group);
    details["reason"] = error.message();
    details["errno"] = error.code;
    details["uid"] = caller.uid;
    refusals_.note(event, std::move(details), monotonic_now_ns());
}

base::Result<> Requests::set(const Caller& caller, Text group,
                             std::span<const std::pair<std::string, std::string>> settings) {
    if (auto allowed = may_change(caller, "change settings"); !allowed) {
        return allowed;
    }
    auto found = own_.forest_.resolve(group);
    if (!found) {
        return base::pass(found);
    }
    std::vector<controllers::SettingText> texts;
    for (const auto& [name, value] : settings) {
        texts.push_back({name, value});
    }
    auto done = own_.groups_->set(*found, texts);
    if (!done) {
        supervisor::Json names = supervisor::Json::array();
        for (const auto& [name, value] : settings) {
            names.push_back(name + "=" + value);
        }
        refused("refused-set", caller, *found, done.error(), {{"settings", names}});
    }
    return done;
}

base::Result<> Requests::create_group(const Caller& caller, Text group, Text how) {
    if (auto allowed = may_change(caller, "create groups"); !allowed) {
        return allowed;
    }
    auto made =
        own_.groups_->create(group, how == "parents" ? Groups::Parents::made : Groups::Parents::must_exist);
    return made ? base::Result<>() : base::pass(made);
}

base::Result<> Requests::remove_group(const Caller& caller, Text group, Text how) {
    if (auto allowed = may_change(caller, "remove groups"); !allowed) {
        return allowed;
    }
    if (!how.empty()) {
        return base::refuse(EINVAL, "remove how? \"" + std::string(how) + "\" is not known here");
    }
    auto found = own_.forest_.resolve(group);
    if (!found) {
        return base::pass(found);
    }
    own_.census_->take_news();
    auto done = own_.groups_->remove(*found);
    if (!done) {
        refused("refused-remove", caller, *found, done.error());
    }
    return done;
}

base::Result<> Requests::rename_group(const Caller& caller, Text group, Text name) {
    if (auto allowed = may_change(caller, "rename groups"); !allowed) {
        return allowed;
    }
    auto found = own_.forest_.resolve(group);
    if (!found) {
        return base::pass(found);
    }
    return own_.groups_->rename(*found, name);
}

}  // namespace gpcsup::supervisor
