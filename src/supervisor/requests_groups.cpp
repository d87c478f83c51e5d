// Requests about groups: settings, creation and removal.

#include "supervisor/requests.h"

namespace gpcsup::supervisor {

using control::Caller;
using grouping::GroupId;

namespace {

grouping::Manage kind_of(std::string_view attribute) {
    if (attribute == "group.owner") {
        return grouping::Manage::set_owner;
    }
    if (attribute == "group.auto_remove") {
        return grouping::Manage::remove;  // whoever sets it has it removed
    }
    if (attribute == "freezer.state") {
        return grouping::Manage::freeze;
    }
    const bool flag = attribute.starts_with("group.") && !attribute.starts_with("group.max_");
    return flag ? grouping::Manage::set_flag : grouping::Manage::set_limit;
}

// How far a setting came before it failed.
enum class Stage : std::uint8_t { understood, carried_out };

// The caller had the right, so no errno says that he had not. What a controller refuses, with whatever errno
// of the kernel's, was tried and did not work; the event has the errno.
std::unexpected<base::Error> as_answer(const base::Error& error, Stage stage) {
    if (stage == Stage::carried_out) {
        return base::refuse(error.code == EBUSY ? EBUSY : EIO, error.message());
    }
    return base::refuse(error.code == EACCES ? EINVAL : error.code, error.message());
}

}  // namespace

base::Result<> Requests::may_manage(const Caller& caller, GroupId group, grouping::Manage what) const {
    return is_privileged(caller) ? base::Result<>()
                                 : grouping::may_manage(own_.forest_, caller.uid, group, what);
}

base::Result<> Requests::is_free(GroupId group) const {
    if (own_.forest_.group(group)->hierarchy != Placing::unit_hierarchy) {
        return {};
    }
    return base::refuse(EINVAL, "the groups of the hierarchy `unit` are made and removed with their units",
                        "make a hierarchy of your own with gpcsup hierarchy create");
}

void Requests::refused(Text event, const Caller& caller, GroupId group, const base::Error& error,
                       supervisor::Json details) {
    details["group"] = own_.forest_.full_path(group);
    details["reason"] = error.message();
    details["errno"] = error.code;
    details["uid"] = caller.uid;
    refusals_.note(event, std::move(details), monotonic_now_ns());
}

// --- hierarchies
// -----------------------------------------------------------------------------------------------------------

base::Result<grouping::HierarchyId> Requests::hierarchy_named(Text name) const {
    const grouping::Hierarchy* found = own_.forest_.find_hierarchy(name);
    if (found == nullptr || found->name != name) {
        return base::refuse(ENOENT, "there is no hierarchy " + std::string(name),
                            found != nullptr ? "controller " + std::string(name) + " is in " + found->name
                                             : "`gpcsup hierarchy list` shows them");
    }
    return found->id;
}

base::Result<> Requests::create_hierarchy(const Caller& caller, Text name, Names controllers, Text compat) {
    if (auto allowed = may_change(caller, "create hierarchies"); !allowed) {
        return allowed;
    }
    const auto rules = grouping::compat_named(compat);
    if (!rules) {
        return base::refuse(EINVAL, "there is no compat \"" + std::string(compat) + "\"",
                            "it is \"2006\", or left out for today's rules");
    }
    own_.census_->take_news();
    auto made = own_.groups_->create_hierarchy(std::string(name), controllers, *rules);
    if (!made) {
        return base::pass(made);
    }
    own_.services_->place_domains();
    return {};
}

base::Result<> Requests::remove_hierarchy(const Caller& caller, Text name) {
    if (auto allowed = may_change(caller, "remove hierarchies"); !allowed) {
        return allowed;
    }
    auto found = hierarchy_named(name);
    if (!found) {
        return base::pass(found);
    }
    own_.census_->take_news();
    if (auto removed = own_.groups_->remove_hierarchy(*found); !removed) {
        return removed;
    }
    own_.services_->place_domains();
    return {};
}

base::Result<> Requests::rebind_hierarchy(const Caller& caller, Text name, Names controllers) {
    if (auto allowed = may_change(caller, "change hierarchies"); !allowed) {
        return allowed;
    }
    auto found = hierarchy_named(name);
    if (!found) {
        return base::pass(found);
    }
    own_.census_->take_news();
    if (auto rebound = own_.groups_->rebind_hierarchy(*found, controllers); !rebound) {
        return rebound;
    }
    own_.services_->place_domains();
    return {};
}

// --- groups
// ----------------------------------------------------------------------------------------------------------------

base::Result<> Requests::set(const Caller& caller, Text group,
                             std::span<const std::pair<std::string, std::string>> settings) {
    auto found = own_.forest_.resolve(group);
    if (!found) {
        return base::pass(found);
    }
    if (settings.empty()) {
        return base::refuse(EINVAL, "which attribute is to be set?");
    }
    std::vector<controllers::SettingText> texts;
    for (const auto& [name, value] : settings) {
        // The agent runs with the rights of the tree's owner, or ours: nobody else names it (CVE-2022-0492).
        if (auto allowed = name == "group.release_agent" ? may_change(caller, "set a release agent")
                                                         : may_manage(caller, *found, kind_of(name));
            !allowed) {
            refused("refused-set", caller, *found, allowed.error(), {{"settings", {name + "=" + value}}});
            return allowed;
        }
        texts.push_back({name, value});
    }
    auto done = own_.controllers_->parse(*found, texts);
    const Stage stage = done ? Stage::carried_out : Stage::understood;
    if (done) {
        own_.census_->take_news();  // whoever comes under a limit is known
        done = own_.groups_->set(*found, texts);
    }
    if (!done) {
        supervisor::Json names = supervisor::Json::array();
        for (const auto& [name, value] : settings) {
            names.push_back(name + "=" + value);
        }
        refused("refused-set", caller, *found, done.error(), {{"settings", names}});
        return as_answer(done.error(), stage);
    }
    return done;
}

base::Result<> Requests::create_group(const Caller& caller, Text group, Text how) {
    auto above = own_.groups_->nearest(group);
    if (!above) {
        return base::pass(above);
    }
    if (auto free = is_free(*above); !free) {
        return free;
    }
    if (auto allowed = may_manage(caller, *above, grouping::Manage::create); !allowed) {
        return allowed;
    }
    const auto creator = is_privileged(caller) ? std::nullopt : std::optional<std::uint32_t>(caller.uid);
    auto made = own_.groups_->create(
        group, how == "parents" ? Groups::Parents::made : Groups::Parents::must_exist, creator);
    return made ? base::Result<>() : base::pass(made);
}

// `how`: words with spaces between them.
base::Result<Removals::Wish> Requests::removal_of(const Caller& caller, Text group, Text how) {
    auto found = own_.forest_.resolve(group);
    if (!found) {
        return base::pass(found);
    }
    if (auto free = is_free(*found); !free) {
        return base::pass(free);
    }
    if (auto allowed = may_manage(caller, *found, grouping::Manage::remove); !allowed) {
        refused("refused-remove", caller, *found, allowed.error());
        return base::pass(allowed);
    }
    Removals::Wish wish{.group = *found, .connection = caller.connection};
    while (!how.empty()) {
        const std::size_t end = std::min(how.find(' '), how.size());
        const Text word = how.substr(0, end);
        how.remove_prefix(std::min(end + 1, how.size()));
        if (word == "kill") {
            wish.means = Removals::Means::kill;
        } else if (word == "recursive") {
            wish.reach = Removals::Reach::tree;
        } else if (word == "wait") {
            wish.patience = Removals::Patience::waits;
        } else {
            return base::refuse(EINVAL,
                                "remove how? \"" + std::string(word) + "\" is none of kill, recursive, wait");
        }
    }
    return wish;
}

void Requests::remove_group(const Caller& caller, Text group, Text how, std::uint64_t timeout_us,
                            control::Reply reply) {
    auto wish = removal_of(caller, group, how);
    if (!wish) {
        return reply(base::pass(wish));
    }
    own_.census_->take_news();
    if (own_.forest_.group(wish->group) == nullptr) {  // it was to go when empty, and did
        return reply(base::refuse(ENOENT, "there is no group " + std::string(group)));
    }
    if (timeout_us != 0) {
        wish->deadline_ns = monotonic_now_ns() + timeout_us * 1000;
    }
    const auto asked = std::make_shared<control::Reply>(std::move(reply));
    own_.removals_->ask(*wish, control::Reply([this, caller, id = wish->group, asked](const Json& answer) {
        if (!answer && answer.error().code == EBUSY) {
            refused("refused-remove", caller, id, answer.error());
        }
        (*asked)(answer);
    }));
    own_.census_->take_news();  // a kill may have been over at once
}

base::Result<> Requests::rename_group(const Caller& caller, Text group, Text name) {
    auto found = own_.forest_.resolve(group);
    if (!found) {
        return base::pass(found);
    }
    if (auto free = is_free(*found); !free) {
        return free;
    }
    if (auto allowed = may_manage(caller, *found, grouping::Manage::rename); !allowed) {
        return allowed;
    }
    if (name.find('/') != Text::npos) {
        return base::refuse(EINVAL,
                            "a group is renamed in its place: " + std::string(name) +
                                " would be in another parent than " + own_.forest_.full_path(*found),
                            "make a new group there and attach the processes to it");
    }
    return own_.groups_->rename(*found, name);
}

// --- files
// ----------------------------------------------------------------------------------------------------------------

base::Result<std::string> Requests::apply(const Caller& caller, Text how) {
    if (how != "plan" && how != "apply") {
        return base::refuse(EINVAL, "apply how? \"plan\" or \"apply\"");
    }
    if (auto allowed = may_change(caller, "apply the files"); !allowed) {
        return base::pass(allowed);
    }
    if (own_.ending_) {
        return base::refuse(ESHUTDOWN, "everything is being stopped");
    }
    own_.census_->take_news();
    auto answer = own_.applying_->apply(how == "plan" ? Applying::How::plan : Applying::How::apply);
    own_.census_->take_news();
    return answer;
}

}  // namespace gpcsup::supervisor
