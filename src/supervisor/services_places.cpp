// Which limits count for the processes of a filtered unit: where its domain is, and the rows of those who are
// elsewhere (domain_rows.h).

#include "supervisor/services.h"

namespace gpcsup::supervisor {

using processes::Process;

void Services::settle_unit(grouping::GroupId group, std::uint64_t domain, DomainRows::Below below) {
    processes::ProcessTable& table = parts_.census.table();
    std::vector<base::ProcessId> tops;  // members whose parents are none
    table.for_each_member_below(group, [&](const Process& process) {
        const Process* parent = table.find(process.parent);
        if (parent == nullptr || parent->has(processes::process_dead) ||
            !parts_.forest.is_within(table.place(*parent, Placing::unit_hierarchy), group)) {
            tops.push_back(process.id());
        }
    });
    for (const base::ProcessId& top : tops) {
        if (const Process* process = table.find(top); process != nullptr) {
            rows_.settle(*process, domain, below);
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
        settle_unit(*group, domain, DomainRows::Below::changed);
    } else {
        rows_.settle(process, domain, DomainRows::Below::changed);
    }
}

void Services::exited(const Process& process) {
    const auto live = live_.find(unit_of(process));
    rows_.exited(process, live == live_.end() ? 0 : live->second.domain);
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
        settle_unit(*group, live.domain, DomainRows::Below::all);
    }
    if (later_ != nullptr) {
        later_->place_domains();
    }
}

}  // namespace gpcsup::supervisor
