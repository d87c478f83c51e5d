// Which limits count for the processes of a filtered unit. gpc-enforce knows them by rows: a process's own,
// else that of its nearest ancestor that has one, else the domain's. Here the rows are kept in line with the
// groups that the processes are in. What is not possible: a process whose parent has just ended counts as the
// domain until that end has been heard of.

#include "supervisor/services.h"

namespace gpcsup::supervisor {

using grouping::Places;
using processes::Process;

namespace {

bool lives(const Process* process) {
    return process != nullptr && !process->has(processes::process_dead);
}

}  // namespace

// The groups of the nearest ancestor that has a row; null: it counts as the domain. `gone` is no ancestor any
// more.
const Places* Services::inherited_places(const Process& process, const Process* gone) {
    processes::ProcessTable& table = parts_.census.table();
    const Process* ancestor = table.find(process.parent);
    for (unsigned generation = 1; generation < wire::override_generations; ++generation) {
        if (!lives(ancestor) || ancestor == gone) {
            return nullptr;
        }
        if (parts_.enforcer.has_row(ancestor->pid)) {
            return &table.places(*ancestor);
        }
        ancestor = table.find(ancestor->parent);
    }
    return nullptr;
}

// The row of a process, and those of its descendants, whose inheritance changes with it: down to those that
// have a row and keep it, or all of them.
void Services::settle_rows(const Process& first, std::uint64_t domain, Below below, const Process* gone) {
    processes::ProcessTable& table = parts_.census.table();
    std::vector<base::ProcessId> open{first.id()};
    while (!open.empty()) {
        const Process* process = table.find(open.back());
        open.pop_back();
        if (!lives(process)) {
            continue;
        }
        const bool had = parts_.enforcer.has_row(process->pid);
        parts_.enforcer.move_process(process->pid, domain, table.places(*process),
                                     inherited_places(*process, gone));
        const bool keeps = had && parts_.enforcer.has_row(process->pid) && process->pid != first.pid;
        if (keeps && below == Below::changed) {
            continue;
        }
        table.for_each_child(process->pid, [&](const Process& child) { open.push_back(child.id()); });
    }
}

void Services::settle_unit(grouping::GroupId group, std::uint64_t domain, Below below) {
    processes::ProcessTable& table = parts_.census.table();
    std::vector<base::ProcessId> tops;  // members whose parents are none
    table.for_each_member_below(group, [&](const Process& process) {
        const Process* parent = table.find(process.parent);
        if (!lives(parent) ||
            !parts_.forest.is_within(table.place(*parent, Placing::unit_hierarchy), group)) {
            tops.push_back(process.id());
        }
    });
    for (const base::ProcessId& top : tops) {
        if (const Process* process = table.find(top); process != nullptr) {
            settle_rows(*process, domain, below, nullptr);
        }
    }
}

void Services::moved(std::string_view unit, const Process& process) {
    const auto live = live_.find(unit);
    if (live == live_.end() || live->second.domain == 0) {
        return;
    }
    const std::uint64_t domain = live->second.domain;
    const units::UnitState* state = parts_.engine.find(unit);
    const auto group = parts_.placing.group_of(unit);
    if (state != nullptr && state->main == process.id() && group) {
        parts_.enforcer.move_domain(domain, parts_.census.table().places(process));
        settle_unit(*group, domain, Below::changed);
    } else {
        settle_rows(process, domain, Below::changed, nullptr);
    }
}

// Its children count as the domain from now on, unless they get rows of their own.
void Services::exited(const Process& process) {
    if (!parts_.enforcer.has_row(process.pid)) {
        return;
    }
    const auto live = live_.find(unit_of(process));
    parts_.enforcer.forget_process(process.pid);
    if (live == live_.end() || live->second.domain == 0) {
        return;
    }
    std::vector<base::ProcessId> children;
    parts_.census.table().for_each_child(process.pid,
                                         [&](const Process& child) { children.push_back(child.id()); });
    for (const base::ProcessId& id : children) {
        if (const Process* child = parts_.census.table().find(id); lives(child)) {
            settle_rows(*child, live->second.domain, Below::changed, &process);
        }
    }
}

// Which group counts for a filtered process follows from where the controllers are bound. Everybody is in the
// root of a hierarchy that came or lost its groups, so only the rows of the table change, nobody's place.
void Services::place_domains() {
    for (const auto& [unit, live] : live_) {
        const units::UnitState* state = parts_.engine.find(unit);
        const Process* main =
            live.domain == 0 || state == nullptr ? nullptr : parts_.census.table().find(state->main);
        const units::Declaration* declaration = parts_.engine.declaration(unit);
        const auto group = parts_.placing.group_of(unit);
        if (live.domain == 0 || declaration == nullptr || !group) {
            continue;
        }
        parts_.enforcer.move_domain(live.domain, main != nullptr ? parts_.census.table().places(*main)
                                                                 : parts_.placing.existing(*declaration));
        settle_unit(*group, live.domain, Below::all);
    }
}

}  // namespace gpcsup::supervisor
