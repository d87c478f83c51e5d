// Grafts: what is written down and read back, and what is said of them.

#include <fmt/format.h>

#include <algorithm>
#include <csignal>

#include "supervisor/grafts.h"
#include "supervisor/records.h"
#include "sys/pidfd.h"

namespace gpcsup::supervisor {

using base::ProcessId;
using processes::Process;

namespace {

constexpr std::string_view prefix = "graft/";
constexpr std::uint16_t most_numbers = 65535;
constexpr std::uint64_t death_ns = 5'000'000'000;  // of a predecessor's helper, which has been killed

std::string key_of(ProcessId process) {
    return fmt::format("{}{}-{}", prefix, process.pid, process.start_time);
}

}  // namespace

void Grafts::write(const Graft& graft) {
    parts_.chronicle.state("", key_of(graft.process),
                           {{"pid", graft.process.pid},
                            {"start", graft.process.start_time},
                            {"state", static_cast<int>(graft.state)},
                            {"key", graft.key},
                            {"number", graft.number},
                            {"trapped", graft.trapped},
                            {"reason", graft.reason},
                            {"attempts", graft.attempts}});
}

void Grafts::forget(Found at) {
    if (at->second.key != 0 && at->second.state != State::done) {
        parts_.enforcer.ended(at->second.key);  // nobody may ever have had its filter
    }
    numbers_.erase(at->second.number);
    parts_.chronicle.erase("", key_of(at->first));
    grafts_.erase(at);
}

void Grafts::restore(const journal::States& states) {
    each_record(states, prefix, parts_.chronicle, [this](const std::string&, const Json& body) {
        Graft graft;
        graft.process = {body.value("pid", 0), body.value("start", std::uint64_t{0})};
        graft.state =
            static_cast<State>(std::clamp(body.value("state", 0), 0, static_cast<int>(State::refused)));
        graft.key = body.value("key", std::uint64_t{0});
        graft.number = body.value("number", std::uint16_t{0});
        graft.trapped = body.value("trapped", std::vector<std::string>());
        graft.reason = body.value("reason", "");
        graft.attempts = body.value("attempts", 0u);
        if (graft.number != 0) {
            numbers_[graft.number] = graft.process;
        }
        grafts_[graft.process] = std::move(graft);
    });
    for (const auto& owned : parts_.slots.scan()) {
        const auto of_slot = [&](const auto& one) {
            return one.second.state == State::running && one.second.key == owned.intent;
        };
        const auto at = std::ranges::find_if(grafts_, of_slot);
        if (at != grafts_.end()) {
            end_predecessor(at->second, owned.id, owned.pid);
        }
    }
}

// The next attempt begins when it has let go of everybody: two of them would take each other for debuggers.
void Grafts::end_predecessor(Graft& graft, launch::SlotId slot, pid_t pid) {
    parts_.slots.release(slot);
    const auto stat = pid > 0 ? parts_.census.files().stat(pid) : base::fail(ESRCH, "find", "gpc-graft");
    if (!stat || stat->parent != parts_.here.init_pid || stat->ended()) {
        return;
    }
    auto pidfd = parts_.census.signals().open(stat->id());
    if (!pidfd || !sys::send_signal(*pidfd, SIGKILL)) {
        return;
    }
    graft.helper.pid = pid;
    graft.helper.pidfd = std::move(*pidfd);
}

// Of the predecessor's helper, which has been killed.
void Grafts::await_death(Graft& graft) {
    graft.due_ns = monotonic_now_ns() + death_ns;
    auto watch = parts_.loop.on_readable(graft.helper.pidfd.get(), EventLoop::Priority::processes,
                                         [this, id = graft.process] {
                                             if (const auto at = grafts_.find(id); at != grafts_.end()) {
                                                 at->second.watch = Watch();
                                                 at->second.helper = {};
                                                 at->second.due_ns = 0;
                                                 parts_.loop.arm(timer_, monotonic_now_ns());
                                             }
                                         });
    if (watch) {
        graft.watch = std::move(*watch);
    }
}

void Grafts::resume() {
    std::vector<ProcessId> gone;
    for (auto& [process, graft] : grafts_) {
        const Process* row = parts_.census.table().find(process);
        const bool alive = row != nullptr && !row->has(processes::process_dead);
        if (graft.state == State::done) {
            const Process* someone = someone_of(graft);
            parts_.enforcer.restore_domain(
                graft.key, someone != nullptr ? parts_.census.table().places(*someone) : grouping::Places{});
            let_in_.push_back(process);
        } else if (!alive) {
            gone.push_back(process);
        } else if (graft.state != State::refused) {
            const bool begun = graft.state == State::running;
            graft.state = State::waiting;
            graft.mode = begun ? wire::GraftMode::recover : wire::GraftMode::fresh;
            if (begun) {
                parts_.enforcer.restore_domain(graft.key, parts_.census.table().places(*row));
            }
            if (graft.attempts >= most_attempts) {
                refuse(graft, fmt::format("it was cut short {} times", graft.attempts));
                continue;
            }
            queue_.push_back(process);
            if (graft.helper.pidfd) {
                await_death(graft);
            }
        }
    }
    for (const ProcessId process : gone) {
        forget(grafts_.find(process));
    }
    place_domains();
    // A predecessor was killed between a setting and what follows from it. Everybody is in every hierarchy.
    limits_set(parts_.forest.hierarchies().front()->root);
    if (!queue_.empty() || !let_in_.empty()) {
        parts_.loop.arm(timer_, monotonic_now_ns());
    }
}

// The one that was grafted, or whoever has its filter.
const Process* Grafts::someone_of(const Graft& graft) const {
    const Process* found = parts_.census.table().find(graft.process);
    if (found == nullptr || found->has(processes::process_dead)) {
        parts_.census.table().for_each([&](Process& process) {
            if (process.graft == graft.number && !process.has(processes::process_dead)) {
                found = &process;
            }
        });
    }
    return found;
}

void Grafts::place_domains() {
    for (const auto& [process, graft] : grafts_) {
        const Process* someone = graft.state == State::done ? someone_of(graft) : nullptr;
        if (someone == nullptr) {
            continue;
        }
        parts_.enforcer.move_domain(graft.key, parts_.census.table().places(*someone));
        settle_members(graft);
    }
}

void Grafts::settle_members(const Graft& graft) {
    parts_.census.table().for_each([&](const Process& one) {
        if (one.graft == graft.number && !one.has(processes::process_dead)) {
            rows_.settle(one, graft.key, DomainRows::Below::changed);
        }
    });
}

// Nobody has their filter any more.
void Grafts::prune() {
    parts_.enforcer.tidy(monotonic_now_ns());
    std::vector<ProcessId> over;
    for (const auto& [process, graft] : grafts_) {
        if (graft.state == State::done && !parts_.enforcer.has_domain(graft.key)) {
            over.push_back(process);
        }
    }
    for (const ProcessId process : over) {
        forget(grafts_.find(process));
    }
}

std::uint16_t Grafts::free_number() const {
    std::uint16_t number = 1;
    while (numbers_.contains(number) && number < most_numbers) {
        ++number;
    }
    return number;
}

const Grafts::Graft* Grafts::find(std::uint16_t number) const {
    const auto owner = number == 0 ? numbers_.end() : numbers_.find(number);
    const auto at = owner == numbers_.end() ? grafts_.end() : grafts_.find(owner->second);
    return at == grafts_.end() ? nullptr : &at->second;
}

// Of the first thread; gpc-graft looks at all.
Grafts::Filter Grafts::filter_of(pid_t pid) const {
    const auto status = parts_.census.files().status(pid);
    if (!status || status->empty()) {
        return Filter::gone;
    }
    return status->find("\nSeccomp:\t0\n") != std::string::npos ? Filter::none : Filter::some;
}

std::optional<std::string> Grafts::word(const Process& process, std::string_view controller) const {
    if (const Graft* graft = find(process.graft)) {
        if (!graft->reason.empty()) {
            return "observed: " + graft->reason;
        }
        return std::ranges::find(graft->trapped, controller) != graft->trapped.end()
                   ? "enforced"
                   : "observed: its filter was set before this limit, without the calls for it; restart it "
                     "to enforce";
    }
    const auto at = grafts_.find(process.id());
    if (at == grafts_.end()) {
        return std::nullopt;
    }
    return at->second.state == State::refused ? "observed: " + at->second.reason
                                              : "observed: it is about to be given a filter";
}

}  // namespace gpcsup::supervisor
