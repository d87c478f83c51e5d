#include "supervisor/classifier.h"

#include <algorithm>
#include <utility>

namespace gpcsup::supervisor {

using grouping::GroupId;
using processes::Process;

namespace {

constexpr std::size_t a_round = 64;  // then others have their turn
constexpr std::uint64_t failure_interval_ns = 1'000'000'000;

constexpr std::uint32_t note_flags = processes::process_to_place | processes::process_new_identity;

}  // namespace

base::Result<> Classifier::open() {
    auto again = parts_.loop.on_time(EventLoop::Priority::processes, [this] { parts_.census.take_news(); });
    if (!again) {
        return base::pass(again);
    }
    again_ = std::move(*again);
    return {};
}

void Classifier::resume() {
    parts_.census.table().for_each([this](Process& process) {
        if (process.has(processes::process_to_place)) {
            noted_.push_back(process.id());
        }
    });
}

void Classifier::note(Process& process, std::uint32_t flag) {
    const bool is_noted = process.has(processes::process_to_place);
    process.flags |= processes::process_to_place | flag;
    if (!is_noted) {
        noted_.push_back(process.id());
    }
}

void Classifier::lost() {
    if (parts_.rules.empty()) {
        return;
    }
    parts_.census.table().for_each([this](Process& process) {
        if (!process.has(processes::process_dead)) {
            note(process, 0);
        }
    });
}

// A member may have it cloned so that its parent is not known: it must not get out of its groups by that.
void Classifier::attributed(Process& orphan) {
    const auto& places = parts_.census.table().places(orphan);
    for (const grouping::Hierarchy* hierarchy : parts_.forest.hierarchies()) {
        if (places[hierarchy->id.value] != hierarchy->root) {
            orphan.placed_by[hierarchy->id.value] = grouping::placed_explicitly;
        }
    }
}

void Classifier::work() {
    if (noted_.empty() || working_ == Working::yes) {
        return;
    }
    working_ = Working::yes;
    for (std::size_t done = 0; done < a_round && !noted_.empty(); ++done) {
        const base::ProcessId id = noted_.front();
        noted_.pop_front();
        Process* process = parts_.census.table().find(id);
        if (process == nullptr) {
            continue;
        }
        const auto followers = take_followers(id.pid);
        if (!process->has(processes::process_dead) && !process->has(processes::process_helper)) {
            classify(*process, followers);
        }
        // Last: a successor of who is killed before this finds it noted still. Moving may have brought news.
        if (process = parts_.census.table().find(id); process != nullptr) {
            process->flags &= ~note_flags;
        }
    }
    parts_.census.lineage().flush_emptied();
    working_ = Working::no;
    if (!noted_.empty()) {
        parts_.loop.arm(again_, monotonic_now_ns());
    }
}

// Whom it has forked since it was noted, and those whom they have; the mark is taken off them.
std::vector<base::ProcessId> Classifier::take_followers(pid_t parent) {
    std::vector<base::ProcessId> all;
    std::vector<pid_t> parents{parent};
    while (!parents.empty()) {
        const pid_t one = parents.back();
        parents.pop_back();
        parts_.census.table().for_each_child(one, [&](Process& child) {
            if (child.has(processes::process_follows)) {
                child.flags &= ~static_cast<std::uint32_t>(processes::process_follows);
                all.push_back(child.id());
                parents.push_back(child.pid);
            }
        });
    }
    return all;
}

std::vector<Classifier::Target> Classifier::targets_of(Process& process, std::uint32_t flags) {
    const auto& table = parts_.census.table();
    std::vector<Target> targets;
    auto subject =
        parts_.rules.as_it_is(parts_.census.files(), process.pid,
                              parts_.placing.unit_of(table.place(process, Placing::unit_hierarchy)));
    if (!subject || subject->executable == parts_.exec_program) {
        return targets;  // gone, or not yet what it will be
    }
    const auto choices = parts_.rules.choose(*subject, parts_.forest);
    for (const grouping::Hierarchy* hierarchy : parts_.forest.hierarchies()) {
        const unsigned slot = hierarchy->id.value;
        if (!choices[slot] || process.placed_by[slot] == grouping::placed_explicitly) {
            continue;
        }
        const auto& [rule, path] = *choices[slot];
        // The same rule again: a child of whom it has placed stays with it, whatever it is called, until it
        // is somebody else's.
        if (process.placed_by[slot] == parts_.rules.mark(rule) &&
            (flags & processes::process_new_identity) == 0) {
            continue;
        }
        auto group = parts_.groups.on_demand(hierarchy->id, path);
        if (!group) {
            tell_failure(rule, process.pid, group.error());
        } else if (*group == table.place(process, hierarchy->id)) {
            process.placed_by[slot] = parts_.rules.mark(rule);
        } else {
            targets.push_back({*group, rule});
        }
    }
    return targets;
}

void Classifier::classify(Process& process, std::span<const base::ProcessId> followers) {
    const auto targets = targets_of(process, process.flags);
    if (targets.empty()) {
        return;
    }
    const base::ProcessId id = process.id();
    if (auto moved = move(id, followers, targets); !moved) {
        tell_failure(targets.front().rule, id.pid, moved.error());
    }
    for (const Target& target : targets) {
        parts_.groups.remove_unused(target.group);  // where nobody came to
    }
}

base::Result<> Classifier::move(base::ProcessId id, std::span<const base::ProcessId> followers,
                                std::span<const Target> targets) {
    grouping::PlacementRequest request{{id}, {}, grouping::Vanished::skip};
    request.processes.insert(request.processes.end(), followers.begin(), followers.end());
    for (const Target& target : targets) {
        request.groups.push_back(target.group);
    }
    parts_.enforcer.expect(request.groups);
    const auto outcome = parts_.groups.attach(parts_.population, request);
    if (auto result = outcome.result(); !result) {
        return result;
    }
    Process* const moved = parts_.census.table().find(id);
    if (moved == nullptr || outcome.moved.empty()) {
        return {};  // it has gone meanwhile
    }
    Process& process = *moved;
    const std::string unit =
        parts_.placing.unit_of(parts_.census.table().place(process, Placing::unit_hierarchy));
    for (const Target& target : targets) {
        const unsigned slot = parts_.forest.group(target.group)->hierarchy.value;
        process.placed_by[slot] = parts_.rules.mark(target.rule);
        for (const base::ProcessId& follower : followers) {
            if (Process* const one = parts_.census.table().find(follower); one != nullptr) {
                one->placed_by[slot] = parts_.rules.mark(target.rule);
            }
        }
        Json body = {{"pid", process.pid},
                     {"group", parts_.forest.full_path(target.group)},
                     {"rule", target.rule + 1},
                     {"location", parts_.rules.rules()[target.rule].location},
                     {"cause", process.has(processes::process_new_identity) ? "identity" : "exec"}};
        if (!unit.empty()) {
            body["unit"] = unit;
        }
        parts_.chronicle.note("placed", body);
    }
    parts_.services.moved(unit, process);
    parts_.grafts.moved(process);
    for (const base::ProcessId& follower : followers) {
        if (Process* const one = parts_.census.table().find(follower); one != nullptr) {
            parts_.grafts.moved(*one);
        }
    }
    return {};
}

// A rule that fails does so for every process that it matches: once a second says it.
void Classifier::tell_failure(std::size_t rule, pid_t pid, const base::Error& error) {
    const std::uint64_t now = monotonic_now_ns();
    std::uint64_t& last = failed_ns_[rule];
    if (last != 0 && now - last < failure_interval_ns) {
        return;
    }
    last = now;
    parts_.chronicle.note("rule-failed", {{"pid", pid},
                                          {"rule", rule + 1},
                                          {"location", parts_.rules.rules()[rule].location},
                                          {"reason", error.message()}});
}

std::vector<Classifier::Former> Classifier::hold(std::span<const base::ProcessId> processes,
                                                 std::span<const GroupId> groups) {
    std::vector<Former> former;
    for (const base::ProcessId id : processes) {
        Process* process = parts_.census.table().find(id);
        if (process == nullptr) {
            continue;
        }
        former.push_back({id, {std::begin(process->placed_by), std::end(process->placed_by)}});
        for (const GroupId group : groups) {
            process->placed_by[parts_.forest.group(group)->hierarchy.value] = grouping::placed_explicitly;
        }
    }
    return former;
}

void Classifier::put_back(std::span<const Former> former) {
    for (const Former& one : former) {
        if (Process* process = parts_.census.table().find(one.process)) {
            std::ranges::copy(one.marks, process->placed_by);
        }
    }
}

}  // namespace gpcsup::supervisor
