#include "grouping/placement.h"

#include <algorithm>
#include <cerrno>
#include <iterator>
#include <set>

namespace gpcsup::grouping {

namespace {

using Participants = std::span<Participant* const>;

struct Leg {  // everything that moves in one hierarchy
    HierarchyId hierarchy;
    std::vector<Transfer> transfers;
};

struct Step {  // one participant's part in one leg
    Participant* participant;
    const Leg* leg;
};

std::string describe(base::ProcessId process) {
    return "process " + std::to_string(process.pid);
}

std::string describe(const base::ThreadId& thread) {
    return "thread " + std::to_string(thread.tid);
}

std::optional<Places> places_of(Population& population, const Relocation& one) {
    return one.thread ? population.places(*one.thread) : population.places(one.process);
}

void move_to(Population& population, const Relocation& one, const Places& places) {
    if (one.thread) {
        population.move(*one.thread, places);
    } else {
        population.move(one.process, places);
    }
}

std::vector<Refusal> check_groups(const Forest& forest, const PlacementRequest& request, Places& targets) {
    std::vector<Refusal> refusals;
    const auto refuse = [&](GroupId id, int code, const std::string& text) {
        refusals.push_back({std::nullopt, id, base::Error{code, text, {}, {}}});
    };
    for (const GroupId id : request.groups) {
        const Group* group = forest.group(id);
        if (group == nullptr || group->dying) {
            refuse(id, ENOENT, "the group has been removed");
            continue;
        }
        GroupId& target = targets[group->hierarchy.value];
        if (target.value != 0 && target != id) {
            refuse(id, EINVAL,
                   forest.full_path(target) + " and " + forest.full_path(id) +
                       " are of one hierarchy: a process is in one group of each");
            continue;
        }
        target = id;
    }
    return refusals;
}

Places overlay(Places places, const Places& targets) {
    for (unsigned slot = 0; slot < max_hierarchies; ++slot) {
        if (targets[slot].value != 0) {
            places[slot] = targets[slot];
        }
    }
    return places;
}

// Of a thread only those hierarchies in which it has a target.
Relocation plan_thread(const base::ThreadId& thread, const Places& from, const Places& targets) {
    Relocation one{thread.process, {}, targets, thread};
    for (unsigned slot = 0; slot < max_hierarchies; ++slot) {
        one.from[slot] = targets[slot].value != 0 ? from[slot] : GroupId{};
    }
    return one;
}

// Those that are apart where their process is put come along, after it.
void plan_homecoming(Population& population, base::ProcessId process, const Places& process_places,
                     const Places& targets, std::vector<Relocation>& relocations) {
    for (const base::ThreadId& thread : population.threads_apart(process)) {
        const auto from = population.places(thread);
        Places home{};
        for (unsigned slot = 0; from && slot < max_hierarchies; ++slot) {
            if ((*from)[slot] != process_places[slot]) {
                home[slot] = targets[slot];
            }
        }
        if (home != Places{}) {
            relocations.push_back(plan_thread(thread, *from, home));
        }
    }
}

std::vector<Relocation> plan(Population& population, const PlacementRequest& request, const Places& targets,
                             std::vector<Refusal>& refusals) {
    std::vector<Relocation> relocations;
    std::set<base::ProcessId> seen;
    for (const base::ProcessId process : request.processes) {
        if (!seen.insert(process).second) {
            continue;
        }
        const auto from = population.places(process);
        if (!from) {
            if (request.vanished == Vanished::refuse) {
                refusals.push_back({process, GroupId{}, base::Error{ESRCH, "attach", describe(process), {}}});
            }
            continue;
        }
        const Places to = overlay(*from, targets);
        if (to != *from) {
            relocations.push_back({process, *from, to});
        }
        plan_homecoming(population, process, *from, targets, relocations);
    }
    std::set<base::ThreadId> seen_threads;
    for (const base::ThreadId& thread : request.threads) {
        if (!seen_threads.insert(thread).second) {
            continue;
        }
        if (const auto from = population.places(thread)) {
            Relocation one = plan_thread(thread, *from, targets);
            if (one.from != one.to) {
                relocations.push_back(one);
            }
        } else if (request.vanished == Vanished::refuse) {
            refusals.push_back(
                {thread.process, GroupId{}, base::Error{ESRCH, "attach", describe(thread), {}}, thread});
        }
    }
    return relocations;
}

std::vector<Leg> legs_of(std::span<const Relocation> relocations) {
    std::vector<Leg> legs;
    for (unsigned slot = 0; slot < max_hierarchies; ++slot) {
        Leg leg{HierarchyId{slot}, {}};
        for (const Relocation& each : relocations) {
            if (each.from[slot] != each.to[slot]) {
                leg.transfers.push_back({each.process, each.from[slot], each.to[slot], each.thread});
            }
        }
        if (!leg.transfers.empty()) {
            legs.push_back(std::move(leg));
        }
    }
    return legs;
}

std::vector<Step> steps_of(std::span<const Leg> legs, Participants participants) {
    std::vector<Step> steps;
    for (const Leg& leg : legs) {
        for (Participant* participant : participants) {
            steps.push_back({participant, &leg});
        }
    }
    return steps;
}

void cancel(std::span<const Step> agreed) {
    for (auto step = agreed.rbegin(); step != agreed.rend(); ++step) {
        step->participant->cancel_attach(step->leg->hierarchy, step->leg->transfers);
    }
}

Refusal refused(const Leg& leg, base::Error error) {
    const Transfer& first = leg.transfers.front();
    if (leg.transfers.size() == 1) {
        return {first.process, first.to, std::move(error), first.thread};
    }
    return {std::nullopt, first.to, std::move(error)};
}

// One answer for many does not say whose fault it is. So each is tried alone by TRY_ONE; where alone nobody
// is refused, it is about all of them together.
template <class TryOne>
std::vector<Refusal> refused_each(const Leg& leg, base::Error together, TryOne try_one) {
    std::vector<Refusal> refusals;
    if (leg.transfers.size() > 1) {
        for (const Transfer& each : leg.transfers) {
            if (auto alone = try_one(std::span(&each, 1)); !alone) {
                refusals.push_back({each.process, each.to, std::move(alone.error()), each.thread});
            }
        }
    }
    if (refusals.empty()) {
        refusals.push_back(refused(leg, std::move(together)));
    }
    return refusals;
}

std::vector<Refusal> ask(std::span<const Step> steps) {
    std::vector<Refusal> refusals;
    std::vector<Step> agreed;
    for (const Step& step : steps) {
        Participant& asked = *step.participant;
        const HierarchyId hierarchy = step.leg->hierarchy;
        auto answer = asked.can_attach(hierarchy, step.leg->transfers);
        if (answer) {
            agreed.push_back(step);
            continue;
        }
        auto each = refused_each(*step.leg, std::move(answer.error()), [&](std::span<const Transfer> one) {
            auto alone = asked.can_attach(hierarchy, one);
            if (alone) {
                asked.cancel_attach(hierarchy, one);
            }
            return alone;
        });
        std::ranges::move(each, std::back_inserter(refusals));
    }
    if (!refusals.empty()) {
        cancel(agreed);
    }
    return refusals;
}

std::vector<Transfer> reversed(std::span<const Transfer> transfers) {
    std::vector<Transfer> back;
    for (const Transfer& each : transfers) {
        back.push_back({each.process, each.to, each.from, each.thread});
    }
    return back;
}

// Puts everything back where it was: the first `attached` steps have been tried, the others not. Returns what
// failed, as the end of a sentence.
std::string take_back(Population& population, std::span<const Step> steps, std::size_t attached,
                      std::span<const Relocation> relocations) {
    std::string problems;
    for (const Relocation& each : relocations) {
        move_to(population, each, each.from);
    }
    cancel(steps.subspan(attached));
    for (std::size_t back = attached; back-- > 0;) {
        const auto transfers = reversed(steps[back].leg->transfers);
        if (auto undone = steps[back].participant->attach(steps[back].leg->hierarchy, transfers); !undone) {
            problems += (problems.empty() ? "taking it back failed, too: " : "; ") + undone.error().message();
        }
    }
    return problems;
}

void add_problems(std::vector<Refusal>& refusals, const std::string& problems) {
    if (!problems.empty()) {
        std::string& hint = refusals.front().error.hint;
        hint += (hint.empty() ? "" : "; ") + problems;
    }
}

// The membership changes first, then the machine: a fork seen in between is of the new group and gets its
// settings. Returns who was refused; then everything has been taken back.
std::vector<Refusal> apply(Population& population, PlacementLog& log, std::uint64_t intent,
                           std::span<const Step> steps, std::span<const Relocation> relocations) {
    for (const Relocation& each : relocations) {
        move_to(population, each, each.to);
    }
    for (std::size_t index = 0; index < steps.size(); ++index) {
        const Step& step = steps[index];
        if (auto attached = step.participant->attach(step.leg->hierarchy, step.leg->transfers); !attached) {
            // Attach is idempotent, and all of it is taken back: trying each once more shows which ones fail.
            auto refusals = refused_each(*step.leg, std::move(attached.error()), [&](auto one) {
                return step.participant->attach(step.leg->hierarchy, one);
            });
            // The failed step is taken back as well: it may have moved some.
            add_problems(refusals, take_back(population, steps, index + 1, relocations));
            return refusals;
        }
    }
    if (auto committed = log.commit(intent); !committed) {
        std::vector<Refusal> refusals{{std::nullopt, GroupId{}, std::move(committed.error())}};
        add_problems(refusals, take_back(population, steps, steps.size(), relocations));
        return refusals;
    }
    return {};
}

// What is gone counts as the root, so that settling an old intent cannot put a process nowhere.
Places existing(const Forest& forest, Places places) {
    for (unsigned slot = 0; slot < max_hierarchies; ++slot) {
        const Group* group = forest.group(places[slot]);
        if (group == nullptr || group->dying || group->hierarchy.value != slot) {
            const Hierarchy* hierarchy = forest.hierarchy(HierarchyId{slot});
            places[slot] = hierarchy != nullptr ? hierarchy->root : GroupId{};
        }
    }
    return places;
}

// Only the slots that the recorded move changed are settled; the others stay as they are now. A thread's may
// be there unchanged: its process came to where it was.
Places settled(const Places& now, const Relocation& recorded, const Forest& forest) {
    const Places& wanted = recorded.from;
    const Places target = existing(forest, wanted);
    Places places = now;
    for (unsigned slot = 0; slot < max_hierarchies; ++slot) {
        if (recorded.to[slot] != wanted[slot] || (recorded.thread && wanted[slot].value != 0)) {
            places[slot] = target[slot];
        }
    }
    return places;
}

}  // namespace

base::Result<> PlacementOutcome::result() const {
    if (refusals.empty()) {
        return {};
    }
    base::Error first = refusals.front().error;
    if (refusals.size() > 1) {
        first.hint +=
            (first.hint.empty() ? "" : "; ") + std::to_string(refusals.size() - 1) + " more refused";
    }
    return std::unexpected(std::move(first));
}

PlacementOutcome place(const Forest& forest, Participants participants, Population& population,
                       PlacementLog& log, const PlacementRequest& request) {
    PlacementOutcome outcome;
    Places targets{};
    outcome.refusals = check_groups(forest, request, targets);
    auto relocations = plan(population, request, targets, outcome.refusals);
    if (!outcome.refusals.empty() || relocations.empty()) {
        return outcome;
    }
    const auto legs = legs_of(relocations);
    const auto steps = steps_of(legs, participants);
    outcome.refusals = ask(steps);
    if (!outcome.refusals.empty()) {
        return outcome;
    }
    const auto intent = log.intend(relocations);
    if (!intent) {
        cancel(steps);
        outcome.refusals.push_back({std::nullopt, GroupId{}, intent.error()});
        return outcome;
    }
    outcome.refusals = apply(population, log, *intent, steps, relocations);
    if (!outcome.refusals.empty()) {
        log.abandon(*intent);
        return outcome;
    }
    outcome.moved = std::move(relocations);
    return outcome;
}

std::vector<Refusal> settle(const Forest& forest, Participants participants, Population& population,
                            std::span<const Relocation> relocations) {
    std::vector<Relocation> wanted;
    for (const Relocation& each : relocations) {
        const auto now = places_of(population, each);
        if (!now) {
            continue;
        }
        const Places& target = each.from;
        const Places& source = each.to;
        Relocation move{each.process, source, settled(*now, each, forest), each.thread};
        for (unsigned slot = 0; slot < max_hierarchies; ++slot) {
            if (source[slot] == target[slot]) {
                move.from[slot] = move.to[slot];  // not part of the move: no leg for it
            }
        }
        move_to(population, move, move.to);
        wanted.push_back(move);
    }
    std::vector<Refusal> failures;
    const auto legs = legs_of(wanted);
    for (const Step& step : steps_of(legs, participants)) {
        if (auto attached = step.participant->attach(step.leg->hierarchy, step.leg->transfers); !attached) {
            failures.push_back(refused(*step.leg, std::move(attached.error())));
        }
    }
    return failures;
}

}  // namespace gpcsup::grouping
