// Requests about groups: settings, creation and removal, attach.

#include <algorithm>
#include <charconv>

#include "supervisor/requests.h"

namespace gpcsup::supervisor {

using control::Caller;
using grouping::GroupId;

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
    return own_.groups_->set(*found, texts);
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
    return own_.groups_->remove(*found);
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

// --- attach
// ----------------------------------------------------------------------------------------------------------------

base::Result<base::ProcessId> Requests::process_named(const std::string& text) {
    pid_t pid = 0;
    (void)std::from_chars(text.data(), text.data() + text.size(), pid);
    processes::Process* process = own_.census_->table().find(pid);
    if (process == nullptr || process->has(processes::process_dead)) {
        auto there = own_.census_->files().stat(pid);
        return there ? base::refuse(
                           EINVAL,
                           "process " + text + " does not descend from this gpc-init and cannot be tracked",
                           "start it with `gpcsup run` or as a unit")
                     : base::refuse(ENOENT, "there is no process " + text);
    }
    return process->id();
}

void Requests::add_tree(const processes::Process& top, std::vector<base::ProcessId>& list) {
    list.push_back(top.id());
    for (std::size_t at = list.size() - 1; at < list.size(); ++at) {
        own_.census_->table().for_each_child(list[at].pid, [&](processes::Process& child) {
            if (!child.has(processes::process_dead)) {
                list.push_back(child.id());
            }
        });
    }
}

base::Result<std::vector<base::ProcessId>> Requests::processes_of(Names what, Text scope) {
    std::vector<base::ProcessId> list;
    for (const std::string& one : what) {
        const bool is_pid =
            !one.empty() && std::all_of(one.begin(), one.end(), [](char c) { return c >= '0' && c <= '9'; });
        if (!is_pid) {
            const std::string unit[] = {one};
            if (auto found = known(unit); !found) {
                return base::pass(found);
            }
            const auto group = own_.placing_->group_of(one);
            if (!group || own_.forest_.group(*group)->populated == 0) {
                return base::refuse(ESRCH, one + " has no processes");
            }
            own_.census_->table().for_each_member_below(
                *group, [&](processes::Process& process) { list.push_back(process.id()); });
            continue;
        }
        auto process = process_named(one);
        if (!process) {
            return base::pass(process);
        }
        if (scope == "tree") {
            add_tree(*own_.census_->table().find(*process), list);
        } else {
            list.push_back(*process);
        }
    }
    std::sort(list.begin(), list.end());
    list.erase(std::unique(list.begin(), list.end()), list.end());
    return list;
}

base::Result<std::string> Requests::attach(const Caller& caller, Names what, Names group_names, Text scope) {
    if (auto allowed = may_change(caller, "move processes"); !allowed) {
        return base::pass(allowed);
    }
    if (scope != "process" && scope != "tree") {
        return base::refuse(EINVAL, "attach moves whole processes: scope \"process\" or \"tree\"");
    }
    own_.census_->take_news();
    auto processes = processes_of(what, scope);
    if (!processes) {
        return base::pass(processes);
    }
    grouping::PlacementRequest request{std::move(*processes), {}, grouping::Vanished::refuse};
    for (const std::string& name : group_names) {
        auto group = own_.forest_.resolve(name);
        if (!group) {
            return base::pass(group);
        }
        if (own_.forest_.group(*group)->hierarchy == Placing::unit_hierarchy) {
            return base::refuse(EINVAL,
                                "the hierarchy `unit` says which unit owns a process and is not attached to",
                                "a process is a unit's when the unit started it");
        }
        request.groups.push_back(*group);
    }
    own_.enforcer_->expect(request.groups);
    const grouping::PlacementOutcome outcome = own_.groups_->attach(*own_.population_, request);
    if (auto result = outcome.result(); !result) {
        return base::pass(result);
    }
    nlohmann::ordered_json moved = nlohmann::ordered_json::array();
    for (const base::ProcessId id : request.processes) {
        const processes::Process* process = own_.census_->table().find(id);
        if (process == nullptr) {
            continue;
        }
        own_.services_->moved(own_.views_->unit_of(*process), *process);
        moved.push_back(
            {{"pid", id.pid}, {"threads", process->threads}, {"place", own_.views_->place_of(*process)}});
    }
    own_.census_->lineage().flush_emptied();
    own_.census_->take_news();
    return nlohmann::ordered_json{
        {"schema", 1}, {"moved", moved}, {"warnings", nlohmann::ordered_json::array()}}
        .dump();
}

}  // namespace gpcsup::supervisor
