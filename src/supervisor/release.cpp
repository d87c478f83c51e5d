#include "supervisor/release.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>

#include "supervisor/records.h"
#include "supervisor/run_request.h"

namespace gpcsup::supervisor {

using grouping::GroupId;

namespace {

constexpr std::string_view waiting_prefix = "release/";
constexpr std::string_view running_prefix = "agent/";
constexpr auto kill_patience = std::chrono::seconds(9);
constexpr std::string_view agent_path = "/sbin:/bin:/usr/sbin:/usr/bin";

std::string waiting_key(GroupId group) {
    return fmt::format("{}{:08}", waiting_prefix, group.value);
}

}  // namespace

base::Result<> Releases::open() {
    auto timer = parts_.loop.on_time(EventLoop::Priority::processes, [this] { go_on(); });
    if (!timer) {
        return base::pass(timer);
    }
    timer_ = std::move(*timer);
    return {};
}

void Releases::restore(const journal::States& states) {
    const auto each = [&](std::string_view prefix, auto&& visit) {
        each_record(states, prefix, parts_.chronicle, visit);
    };
    each(running_prefix, [&](const std::string& unit, const Json& body) {
        running_[unit] = GroupId{body.value("id", 0u)};
        // One that a gpcsupd without a limit has started has its time from now on.
        const auto latest = queue_.end_of_agent(std::chrono::nanoseconds(monotonic_now_ns()));
        queue_.running(running_[unit], std::chrono::nanoseconds(body.value("until_ns", latest.count())));
    });
    each(waiting_prefix, [&](const std::string& number, const Json& body) {
        const GroupId group{static_cast<std::uint32_t>(std::stoul(number))};
        const auto agent = running_.find(body.value("unit", ""));
        // It may have been started, and only this was not noted.
        const bool started = agent != running_.end() && parts_.engine.find(agent->first) != nullptr;
        if (started || queue_.candidate(parts_.forest, group) == grouping::ReleaseQueue::Taken::no) {
            parts_.chronicle.erase("", waiting_key(group));
        } else {
            paths_[group] = body.value("group", "");
        }
    });
}

void Releases::flipped(GroupId id) {
    const grouping::Group* group = parts_.forest.group(id);
    const bool there = group != nullptr && !group->dying;
    if ((!there || group->populated > 0) && queue_.withdraw(id) == grouping::ReleaseQueue::Withdrawn::yes) {
        drop(id, there ? "it has processes again" : "it has been removed");
    }
}

void Releases::candidate(GroupId id) {
    const grouping::Group* group = parts_.forest.group(id);
    if (group == nullptr || group->hierarchy == Placing::unit_hierarchy) {
        return;
    }
    if (queue_.candidate(parts_.forest, id) == grouping::ReleaseQueue::Taken::waits) {
        paths_[id] = parts_.forest.full_path(id);
        parts_.chronicle.state("", waiting_key(id), {{"group", paths_[id]}});
    }
}

void Releases::drop(GroupId id, std::string_view reason) {
    const std::string path = parts_.forest.group(id) != nullptr ? parts_.forest.full_path(id) : paths_[id];
    paths_.erase(id);
    parts_.chronicle.erase("release-dropped", waiting_key(id), {{"group", path}, {"reason", reason}});
}

void Releases::look_for_ended() {
    for (auto at = running_.begin(); at != running_.end();) {
        if (parts_.engine.find(at->first) != nullptr) {
            ++at;
            continue;
        }
        parts_.chronicle.erase("", std::string(running_prefix) + at->first);
        queue_.finished(at->second);
        at = running_.erase(at);
    }
}

void Releases::go_on() {
    if (running_.empty() && queue_.waiting() == 0) {
        return;
    }
    look_for_ended();
    const auto now = std::chrono::nanoseconds(monotonic_now_ns());
    const auto turn = queue_.turn(parts_.forest, now);
    for (const GroupId id : turn.overdue) {
        end(id);
    }
    for (const GroupId id : turn.dropped) {
        drop(id, parts_.forest.group(id) == nullptr ? "it has been removed" : "it is not to be released");
    }
    for (const GroupId id : turn.deferred) {
        parts_.chronicle.note("release-deferred", {{"group", parts_.forest.full_path(id)},
                                                   {"reason", "enough agents run, or were started"}});
    }
    for (const GroupId id : turn.told) {
        tell(id);
    }
    parts_.loop.arm(timer_, turn.again ? static_cast<std::uint64_t>(turn.again->count()) : 0);
}

// With all that it started. Until it has ended it counts as running: who cannot be killed makes no room.
void Releases::end(GroupId id) {
    const auto agent = std::ranges::find(running_, id, [](const auto& one) { return one.second; });
    if (agent == running_.end()) {
        return;
    }
    const auto group = parts_.placing.group_of(agent->first);
    const bool there = parts_.forest.group(id) != nullptr;
    parts_.chronicle.note("release-agent-timeout",
                          {{"group", there ? Json(parts_.forest.full_path(id)) : Json()},
                           {"unit", agent->first},
                           {"reason", "it has not ended in its time, and is killed"}});
    if (group) {
        parts_.kills.start(*group, kill_patience);
    }
}

// The lowest number that is free: so few numbers, so few log files.
std::string Releases::free_name(const std::string& hierarchy) const {
    for (unsigned number = 1;; ++number) {
        std::string name = fmt::format("release-{}-{}", hierarchy, number);
        if (parts_.engine.find(name) == nullptr) {
            return name;
        }
    }
}

void Releases::tell(GroupId id) {
    const grouping::Group& group = *parts_.forest.group(id);
    const grouping::Hierarchy& hierarchy = *parts_.forest.hierarchy(group.hierarchy);
    const std::string agent = parts_.forest.release_agent(group.hierarchy);
    const std::string path = parts_.forest.path(id);
    const std::string unit = free_name(hierarchy.name);
    Json request = {{"name", unit},
                    {"command", {agent, path}},
                    {"environment", {{"HOME", "/"}, {"PATH", agent_path}}},
                    {"environment_only", true},
                    {"directory", "/"},
                    {"detach", true}};
    const auto& owner = parts_.forest.group(hierarchy.root)->owner;
    if (owner && *owner != geteuid()) {
        request["user"] = std::to_string(*owner);
    }
    auto parsed = parse_run_request(request.dump());
    // First who runs for it, then its start, and only then it waits no more. A successor starts over what was
    // cut off in between.
    parts_.chronicle.state("", waiting_key(id), {{"group", paths_[id]}, {"unit", unit}});
    const auto until = queue_.end_of_agent(std::chrono::nanoseconds(monotonic_now_ns()));
    parts_.chronicle.state(
        "", std::string(running_prefix) + unit,
        {{"id", id.value}, {"group", parts_.forest.full_path(id)}, {"until_ns", until.count()}});
    running_[unit] = id;
    parts_.chronicle.state("", "transient/" + unit, request);
    base::Result<> started = parsed ? parts_.services.start_transient(std::move(parsed->declaration), {})
                                    : base::Result<>(std::unexpected(parsed.error()));
    if (!started) {
        parts_.chronicle.erase("", "transient/" + unit);
        drop(id, "the agent could not be started: " + started.error().message());
        return;
    }
    parts_.chronicle.note("release-agent",
                          {{"group", parts_.forest.full_path(id)}, {"agent", agent}, {"unit", unit}});
    parts_.services.settle();  // the start stands in the journal: a successor goes on with it
    parts_.chronicle.erase("", waiting_key(id));
    paths_.erase(id);
}

}  // namespace gpcsup::supervisor
