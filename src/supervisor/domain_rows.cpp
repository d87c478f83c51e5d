#include "supervisor/domain_rows.h"

#include <vector>

namespace gpcsup::supervisor {

using grouping::Places;
using processes::Process;

namespace {

bool lives(const Process* process) {
    return process != nullptr && !process->has(processes::process_dead);
}

}  // namespace

// The groups of the nearest ancestor that has a row; nothing: it counts as the domain. `gone` is no ancestor
// any more.
std::optional<Places> DomainRows::inherited_places(const Process& process, const Process* gone) {
    processes::ProcessTable& table = census_.table();
    const Process* ancestor = table.find(process.parent);
    for (unsigned generation = 1; generation < wire::override_generations; ++generation) {
        if (!lives(ancestor) || ancestor == gone) {
            return std::nullopt;
        }
        if (enforcer_.has_row(ancestor->pid)) {
            return table.places(*ancestor);
        }
        ancestor = table.find(ancestor->parent);
    }
    return std::nullopt;
}

void DomainRows::settle(const Process& first, std::uint64_t domain, Below below, const Process* gone) {
    processes::ProcessTable& table = census_.table();
    std::vector<base::ProcessId> open{first.id()};
    while (!open.empty()) {
        const Process* process = table.find(open.back());
        open.pop_back();
        if (!lives(process)) {
            continue;
        }
        const bool had = enforcer_.has_row(process->pid);
        const auto inherited = inherited_places(*process, gone);
        enforcer_.move_process(process->pid, domain, table.places(*process),
                               inherited ? &*inherited : nullptr);
        const bool keeps = had && enforcer_.has_row(process->pid) && process->pid != first.pid;
        if (keeps && below == Below::changed) {
            continue;
        }
        table.for_each_child(process->pid, [&](const Process& child) { open.push_back(child.id()); });
    }
}

void DomainRows::exited(const Process& process, std::uint64_t domain) {
    if (!enforcer_.has_row(process.pid)) {
        return;
    }
    enforcer_.forget_process(process.pid);
    if (domain == 0) {
        return;
    }
    std::vector<base::ProcessId> children;
    census_.table().for_each_child(process.pid,
                                   [&](const Process& child) { children.push_back(child.id()); });
    for (const base::ProcessId& id : children) {
        if (const Process* child = census_.table().find(id); lives(child)) {
            settle(*child, domain, Below::changed, &process);
        }
    }
}

}  // namespace gpcsup::supervisor
