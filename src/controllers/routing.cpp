// ControllerSet: what happens to processes, routed to the controllers by membership; and the two adapters of
// placements.

#include <algorithm>
#include <cerrno>

#include "controllers/dispatcher.h"

namespace gpcsup::controllers {

using grouping::GroupId;
using grouping::HierarchyId;
using grouping::Places;
using grouping::Transfer;

namespace {

void unite(std::vector<wire::TrapClass>& into, std::span<const wire::TrapClass> classes) {
    for (const wire::TrapClass each : classes) {
        if (std::ranges::find(into, each) == into.end()) {
            into.push_back(each);
        }
    }
}

}  // namespace

// Nothing for an unbound controller without an account: it could not make its state.
std::optional<GroupId> ControllerSet::group_of(const Bound& bound, const processes::Process& process) const {
    return bound.hierarchy ? host_.processes().place(process, *bound.hierarchy) : bound.account;
}

void ControllerSet::forked(const processes::Process& parent, processes::Process& child) {
    for (Bound& each : all_) {
        if (const auto group = group_of(each, child)) {
            each.controller->fork(parent, child, *group);
        }
    }
}

void ControllerSet::born(processes::Process& process) {
    for (Bound& each : all_) {
        if (const auto group = group_of(each, process)) {
            each.controller->born(process, *group);
        }
    }
}

void ControllerSet::thread_started(const processes::Process& process,
                                   const std::optional<base::ThreadId>& thread) {
    for (Bound& each : all_) {
        if (each.hierarchy && each.controller->granularity() == Granularity::thread) {
            each.controller->thread_started(process, thread,
                                            host_.processes().place(process, *each.hierarchy));
        }
    }
}

void ControllerSet::affinity_asked(const base::ThreadId& thread, const base::CpuList& asked,
                                   const base::CpuList& given) {
    for (Bound& each : all_) {
        each.controller->affinity_asked(thread, asked, given);
    }
}

void ControllerSet::exited(const processes::Process& process) {
    for (Bound& each : all_) {
        if (const auto group = group_of(each, process)) {
            each.controller->exit(process, *group);
        }
    }
}

base::Result<> ControllerSet::can_start(const Places& places) {
    for (Bound& each : all_) {
        if (each.hierarchy) {
            if (auto possible = each.controller->can_start(places[each.hierarchy->value]); !possible) {
                return possible;
            }
        }
    }
    return {};
}

Birth ControllerSet::birth(const Places& places) {
    Birth birth;
    for (Bound& each : all_) {
        if (each.hierarchy) {
            each.controller->birth(places[each.hierarchy->value], birth);
        }
    }
    for (const Requirement& each : required(places)) {
        unite(birth.traps, each.classes);
    }
    return birth;
}

std::vector<Requirement> ControllerSet::required(const Places& places) {
    std::vector<Requirement> result;
    for (Bound& each : all_) {
        if (!each.hierarchy) {
            continue;
        }
        auto classes = each.controller->traps(places[each.hierarchy->value]);
        if (!classes.empty()) {
            result.push_back({each.name, std::move(classes)});
        }
    }
    return result;
}

base::Result<std::vector<wire::TrapClass>> ControllerSet::traps(const Places& places,
                                                                std::span<const std::string> enforce) {
    std::vector<wire::TrapClass> classes;
    for (const Requirement& each : required(places)) {
        unite(classes, each.classes);
    }
    for (const std::string& name : enforce) {
        if (auto known = require_controller(name); !known) {
            return base::pass(known);
        }
        const auto possible = find(name)->controller->possible_traps();
        if (possible.empty()) {
            return base::refuse(EINVAL, "controller " + name + " enforces nothing by trapping system calls",
                                "leave it out of 'enforce'");
        }
        unite(classes, possible);
    }
    return classes;
}

std::vector<ControllerSet::Shortfall> ControllerSet::shortfalls(const processes::Process& process) {
    std::vector<Shortfall> result;
    for (Bound& each : all_) {
        if (!each.hierarchy) {
            continue;
        }
        const auto group = host_.processes().place(process, *each.hierarchy);
        if (auto reason = each.controller->shortfall(process, group)) {
            result.push_back({each.name, std::move(*reason)});
        }
    }
    return result;
}

void ControllerSet::refresh() {
    for (Bound& each : all_) {
        if (each.hierarchy || each.account) {
            each.controller->refresh();
        }
    }
}

std::vector<Move> ControllerSet::moves_of(std::span<const Transfer> transfers) {
    std::vector<Move> moves;
    for (const Transfer& each : transfers) {
        if (processes::Process* process = host_.processes().find(each.process)) {
            moves.push_back({process, each.from, each.to, each.thread});
        }
    }
    return moves;
}

base::Result<> ControllerSet::check_threads(HierarchyId hierarchy, std::span<const Move> moves) const {
    if (std::ranges::none_of(moves, [](const Move& each) { return each.thread.has_value(); })) {
        return {};
    }
    for (const Bound* each : bound_to(hierarchy)) {
        if (each->controller->granularity() == Granularity::process) {
            return base::refuse(EOPNOTSUPP,
                                "hierarchy " + forest_.hierarchy(hierarchy)->name + " has controller " +
                                    std::string(each->name) +
                                    ", whose figures are a process's: a thread cannot be apart there",
                                "without --thread the whole process is moved");
        }
    }
    return {};
}

base::Result<> ControllerSet::can_attach(HierarchyId hierarchy, std::span<const Transfer> transfers) {
    const auto moves = moves_of(transfers);
    if (auto possible = check_threads(hierarchy, moves); !possible) {
        return possible;
    }
    const auto controllers = bound_to(hierarchy);
    for (std::size_t asked = 0; asked < controllers.size(); ++asked) {
        auto agreed = controllers[asked]->controller->can_attach(moves);
        if (!agreed) {
            for (std::size_t back = asked; back-- > 0;) {
                controllers[back]->controller->cancel_attach(moves);
            }
            return agreed;
        }
    }
    return {};
}

void ControllerSet::cancel_attach(HierarchyId hierarchy, std::span<const Transfer> transfers) {
    const auto moves = moves_of(transfers);
    auto controllers = bound_to(hierarchy);
    std::ranges::reverse(controllers);
    for (Bound* each : controllers) {
        each->controller->cancel_attach(moves);
    }
}

// A failure is left for the placement to take back: it attaches all of them the other way round.
base::Result<> ControllerSet::attach(HierarchyId hierarchy, std::span<const Transfer> transfers) {
    const auto moves = moves_of(transfers);
    base::Result<> first;
    for (Bound* each : bound_to(hierarchy)) {
        auto attached = each->controller->attach(moves);
        if (!attached && first) {
            first = std::move(attached);
        }
    }
    return first;
}

std::optional<Places> TablePopulation::places(base::ProcessId process) {
    const processes::Process* known = table_.find(process);
    if (known == nullptr || (known->flags & processes::process_dead) != 0) {
        return std::nullopt;
    }
    return forest_.places(known->membership);
}

void TablePopulation::move(base::ProcessId process, const Places& places) {
    processes::Process* known = table_.find(process);
    if (known == nullptr || (known->flags & processes::process_dead) != 0) {
        return;
    }
    const grouping::MembershipId membership = forest_.intern(places);
    if (membership == known->membership) {
        return;
    }
    if (leaving_) {
        leaving_(*known);
    }
    table_.move(*known, membership);
    if (arrived_) {
        arrived_(*known);
    }
}

std::optional<Places> TablePopulation::places(const base::ThreadId& thread) {
    auto places = this->places(thread.process);
    const Places* own = threads_.find(thread);
    for (std::size_t slot = 0; places && own != nullptr && slot < own->size(); ++slot) {
        if ((*own)[slot].value != 0) {
            (*places)[slot] = (*own)[slot];
        }
    }
    return places;
}

void TablePopulation::move(const base::ThreadId& thread, const Places& places) {
    const auto home = this->places(thread.process);
    if (!home) {
        return;
    }
    const Places* known = threads_.find(thread);
    Places own = known != nullptr ? *known : Places{};
    for (std::size_t slot = 0; slot < own.size(); ++slot) {
        if (places[slot].value != 0) {
            own[slot] = places[slot] == (*home)[slot] ? GroupId{} : places[slot];
        }
    }
    threads_.place(thread, own);
    if (thread_moved_) {
        thread_moved_(thread);
    }
}

}  // namespace gpcsup::controllers
