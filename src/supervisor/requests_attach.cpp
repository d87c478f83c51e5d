// Requests: attach. What is asked for is read and judged in attach_request.h, moved by the placement of room
// grouping.

#include <algorithm>

#include "supervisor/attach_request.h"
#include "supervisor/requests.h"

namespace gpcsup::supervisor {

using control::Caller;

namespace {

// Those that are moved themselves, in order.
std::vector<base::ProcessId> processes_of(std::span<const grouping::Relocation> moved) {
    std::vector<base::ProcessId> list;
    for (const grouping::Relocation& one : moved) {
        if (!one.thread) {
            list.push_back(one.process);
        }
    }
    return list;
}

}  // namespace

std::string Requests::refused_attach(const Caller& caller, const AttachRequest& request) {
    supervisor::Json list = supervisor::Json::array();
    for (const RefusedItem& item : request.refused()) {
        supervisor::Json body = to_json(item);
        list.push_back(body);
        if (item.process) {
            body["start"] = item.process->start_time;
        }
        if (item.thread) {
            body["thread_start"] = item.thread->start_time;
        }
        body["reason"] = body["error"];
        body.erase("error");
        body["uid"] = caller.uid;
        refusals_.note("refused-attach", body, monotonic_now_ns());
    }
    return text_of({{"schema", 1}, {"moved", supervisor::Json::array()}, {"refused", list}});
}

std::string Requests::attached(const AttachRequest& request, const grouping::PlacementOutcome& outcome) {
    supervisor::Json moved = supervisor::Json::array();
    const auto processes = processes_of(outcome.moved);
    auto changed = processes.begin();  // both are in order of their identities
    for (const base::ProcessId id : request.placement().processes) {
        const bool already = changed == processes.end() || *changed != id;
        changed += already ? 0 : 1;
        processes::Process* process = own_.census_->table().find(id);
        if (process == nullptr) {
            continue;
        }
        if (!already) {
            own_.services_->moved(own_.views_->unit_of(*process), *process);
        }
        own_.grafts_->moved(*process);  // also one that is there already, where only now a limit is set
        moved.push_back({{"pid", id.pid},
                         {"threads", process->threads},
                         {"already", already},
                         {"place", own_.views_->place_of(*process)}});
    }
    for (const base::ThreadId& id : request.placement().threads) {
        const bool already = std::ranges::find(outcome.moved, std::optional(id),
                                               &grouping::Relocation::thread) == outcome.moved.end();
        moved.push_back({{"pid", id.process.pid},
                         {"tid", id.tid},
                         {"already", already},
                         {"place", own_.views_->place_of(id)}});
    }
    return supervisor::Json{{"schema", 1}, {"moved", moved}, {"warnings", supervisor::Json::array()}}.dump();
}

base::Result<std::string> Requests::attach(const Caller& caller, Names what, Names groups, Text scope,
                                           control::Refused refused) {
    if (scope != "process" && scope != "tree" && scope != "thread") {
        return base::refuse(EINVAL, "attach what? scope \"process\", \"tree\" or \"thread\"");
    }
    if (what.empty() || groups.empty()) {
        return base::refuse(EINVAL, what.empty() ? "no process or unit is named" : "no group is named");
    }
    own_.census_->take_news();
    AttachRequest request(
        {own_.forest_, *own_.census_, *own_.engine_, *own_.placing_, own_.threads_, own_.here_.init_pid},
        MoveRights(own_.forest_, own_.census_->files(), [this](const Caller& who, grouping::GroupId group) {
            return may_manage(who, group, grouping::Manage::attach);
        }));
    request.read(what, groups, scope);
    request.judge(caller);
    grouping::PlacementOutcome outcome;
    if (request.refused().empty()) {
        own_.enforcer_->expect(request.placement().groups);
        const auto former = own_.classifier_->hold(request.placement().processes, request.placement().groups);
        outcome = own_.groups_->attach(*own_.population_, request.placement());
        if (!outcome.refusals.empty()) {
            own_.classifier_->put_back(former);
        }
        for (const grouping::Refusal& one : outcome.refusals) {
            request.refuse(one);
        }
    }
    if (!request.refused().empty()) {
        auto answer = refused_attach(caller, request);
        return refused == control::Refused::listed ? base::Result<std::string>(std::move(answer))
                                                   : std::unexpected(summary(request.refused()));
    }
    auto answer = attached(request, outcome);
    own_.census_->lineage().flush_emptied();
    own_.census_->take_news();
    return answer;
}

}  // namespace gpcsup::supervisor
