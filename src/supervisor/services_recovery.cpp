// Services: what a successor does with what its predecessor left, and what services say by sd_notify.

#include <unistd.h>

#include <algorithm>

#include "supervisor/records.h"
#include "supervisor/run_request.h"
#include "supervisor/services.h"

namespace gpcsup::supervisor {

namespace {

constexpr std::string_view state_prefix = "unit/";

}  // namespace

void Services::restore_units(const journal::States& states) {
    each_record(states, "transient/", parts_.chronicle,
                [&](const std::string& name, const Json& body) -> base::Result<> {
                    if (!states.contains("unit/" + name)) {
                        forget(name);  // cut off before anything of it was started, or after it had ended
                        return {};
                    }
                    auto request = parse_run_request(body.dump());
                    if (!request) {
                        return base::pass(request);
                    }
                    request->declaration.name = name;
                    parts_.engine.restore_transient(std::move(request->declaration));
                    return {};
                });
    for (auto at = states.lower_bound(state_prefix);
         at != states.end() && at->first.starts_with(state_prefix); ++at) {
        if (auto state = units::decode_unit_state(std::as_bytes(std::span(at->second.body)))) {
            parts_.engine.restore(std::move(*state));
        } else {
            parts_.chronicle.note("state-lost", {{"what", at->first}, {"reason", state.error().message()}});
        }
    }
    adopt_mains();
    each_record(states, "launch/", parts_.chronicle,
                [&](const std::string& unit, const Json& body) { restore_launch(unit, body); });
    const std::pair<const char*, Role> exits[] = {{"exit/", Role::main}, {"command-exit/", Role::command}};
    for (const auto& [prefix, role] : exits) {
        each_record(states, prefix, parts_.chronicle,
                    [this, role = role](const std::string& unit, const Json& body) {
                        exits_.push_back(
                            {unit,
                             {body.value("pid", 0), body.value("start", std::uint64_t{0})},
                             {static_cast<units::ExitKind>(body.value("kind", 0)), body.value("number", 0)},
                             role});
                    });
    }
}

// Processes that are not in the table, as it had to be made anew.
void Services::adopt_mains() {
    for (const std::string_view name : parts_.engine.names()) {
        const units::UnitState* state = parts_.engine.find(name);
        if (state->main.pid == 0 || parts_.census.table().find(state->main) != nullptr) {
            continue;
        }
        const auto stat = parts_.census.files().stat(state->main.pid);
        if (stat && stat->id() == state->main && !stat->ended()) {
            const units::Declaration& declaration = *parts_.engine.declaration(name);
            if (auto born = parts_.census.born(state->main.pid,
                                               parts_.forest.intern(parts_.placing.existing(declaration)));
                !born) {
                end_untracked(state->main.pid, born.error());
            }
            if (processes::Process* row = parts_.census.table().find(state->main)) {
                parts_.placing.mark(declaration, *row);
            }
        }
    }
}

void Services::restore_launch(const std::string& unit, const Json& body) {
    const units::Declaration* declaration = parts_.engine.declaration(unit);
    if (declaration == nullptr) {
        parts_.chronicle.erase("", "launch/" + unit);
        return;
    }
    Live& live = live_[unit];
    live.domain = body.value("domain", std::uint64_t{0});
    live.trapped = body.value("trapped", std::vector<std::string>());
    live.command = {body.value("command_pid", 0), body.value("command_start", std::uint64_t{0})};
    live.recorded = Live::Recorded::yes;
    if (const auto intent = body.value("command_intent", std::uint64_t{0}); intent != 0) {
        for (const auto& owned : slots_->scan()) {
            live.command_slot = owned.intent == intent ? std::optional(owned.id) : live.command_slot;
        }
    }
    if (live.domain != 0) {
        // Where it is, which need not be where it was born; unknown yet if it was about to be.
        const units::UnitState* state = parts_.engine.find(unit);
        const processes::Process* main =
            state != nullptr && state->main.pid > 0 ? parts_.census.table().find(state->main) : nullptr;
        parts_.enforcer.restore_domain(live.domain, main != nullptr ? parts_.census.table().places(*main)
                                                                    : parts_.placing.existing(*declaration));
    }
    if (live.command.pid != 0) {
        live.command_domain = body.value("command_domain", std::uint64_t{0});
        parts_.enforcer.restore_domain(live.command_domain, parts_.placing.existing(*declaration));
    }
}

void Services::adopt_starts() {
    for (const auto& owned : slots_->scan()) {
        const units::UnitState* state = nullptr;
        for (const std::string_view name : parts_.engine.names()) {
            const units::UnitState* one = parts_.engine.find(name);
            // `stopping`, too: it was told to stop before its process had been reported.
            if (one->intent == owned.intent &&
                (one->phase == units::Phase::launching || parts_.engine.expects_process(name))) {
                state = one;
            }
        }
        const auto of_command = [&](const auto& entry) { return entry.second.command_slot == owned.id; };
        if (std::ranges::any_of(live_, of_command)) {
            continue;
        }
        if (state == nullptr || owned.pid == 0) {
            slots_->release(owned.id);
            continue;
        }
        const std::string unit = state->name;
        live_[unit].slot = owned.id;
        if (state->main.pid == 0) {
            // The kernel wrote the pid into this very slot, but the process may have gone, and the number
            // round.
            const auto ours = [&](std::uint64_t start_time) { return owned.may_have_started(start_time); };
            if (auto process = parts_.census.adopt(
                    owned.pid,
                    parts_.forest.intern(parts_.placing.existing(*parts_.engine.declaration(unit))), ours)) {
                if (processes::Process* row = parts_.census.table().find(*process)) {
                    parts_.placing.mark(*parts_.engine.declaration(unit), *row);
                }
                parts_.engine.process_started(unit, *process, now());
            } else if (process.error().code == ENOENT || process.error().code == ESRCH) {
                parts_.engine.process_started(unit, {owned.pid, 0}, now());
            } else {
                const base::Error& why = process.error();
                end_untracked(owned.pid, why);
                parts_.enforcer.ended(live_[unit].domain);
                slots_->release(owned.id);
                live_[unit].slot.reset();
                fail_start(unit, why);
            }
        }
    }
}

// It runs, and nobody would know of it: no limit would count it and no stop would reach it. gpc-init reaps
// it.
void Services::end_untracked(pid_t pid, const base::Error& why) {
    const auto stat = parts_.census.files().stat(pid);
    if (stat && stat->parent == parts_.here.init_pid) {
        (void)parts_.census.signals().send(stat->id(), SIGKILL);
        parts_.chronicle.note("untracked", {{"pid", pid}, {"reason", why.message() + "; it was ended"}});
    }
}

void Services::finish_recovery() {
    tell_exits();
    for (const std::string_view name : parts_.engine.names()) {
        const std::string unit(name);
        const auto group = parts_.placing.group_of(unit);
        if (group && parts_.forest.group(*group)->populated > 0) {
            parts_.engine.group_populated(unit);
        } else {
            parts_.engine.group_empty(unit, now());
        }
        const units::UnitState* state = parts_.engine.find(unit);
        if (state->main.pid == 0) {
            continue;
        }
        const processes::Process* main = parts_.census.table().find(state->main);
        if (main == nullptr || main->has(processes::process_dead)) {
            const auto live = live_.find(unit);
            main_ended(unit, state->main);
            if (live != live_.end() && live->second.slot) {
                exec_settled(unit);
            }
            parts_.engine.main_exited(unit, state->main, {}, now());
        }
    }
    look_at_starts();
    parts_.engine.resume(now());
    settle();
}

// Starts that a predecessor began, whose status pipes died with it: only a look tells when gpc-exec is
// through. Soon at first, then once a second; each ends with its process at the latest.
void Services::look_at_starts() {
    constexpr std::uint64_t shortest_ns = 10'000'000;
    constexpr std::uint64_t longest_ns = 1'000'000'000;
    std::vector<std::string> through;
    std::size_t under_way = 0;
    for (const auto& [unit, live] : live_) {
        const units::UnitState* state = parts_.engine.find(unit);
        if (!live.slot || live.status || state == nullptr || state->main.pid == 0) {
            continue;
        }
        if (is_through(*state, *live.slot)) {
            through.push_back(unit);
        } else {
            ++under_way;
        }
    }
    for (const std::string& unit : through) {
        exec_settled(unit);
    }
    if (under_way > 0) {
        look_pause_ns_ = std::clamp(look_pause_ns_ * 2, shortest_ns, longest_ns);
        parts_.loop.arm(look_again_, monotonic_now_ns() + look_pause_ns_);
    }
}

// By its name, which execve sets and which everybody may read, as the file behind it need not be.
bool Services::is_through(const units::UnitState& state, launch::SlotId slot) {
    if (slots_->failure(slot)) {
        return true;
    }
    const auto stat = parts_.census.files().stat(state.main.pid);
    return stat && stat->id() == state.main && stat->name != wire::exec_program &&
           stat->name != wire::supervisor_program;  // between clone3 and gpc-exec
}

// The connector tells of an execve: no need to wait for the next look.
void Services::executed(const processes::Process& process) {
    const std::string unit = unit_of(process);
    const auto live = live_.find(unit);
    const units::UnitState* state = parts_.engine.find(unit);
    if (live == live_.end() || !live->second.slot || live->second.status || state == nullptr ||
        state->main != process.id()) {
        return;
    }
    if (is_through(*state, *live->second.slot)) {
        exec_settled(unit);
    }
}

std::optional<grouping::MembershipId> Services::started_by_us(pid_t pid) {
    for (const auto& owned : slots_->scan()) {
        if (owned.pid != pid) {
            continue;
        }
        for (const std::string_view name : parts_.engine.names()) {
            if (parts_.engine.find(name)->intent == owned.intent) {
                return parts_.forest.intern(parts_.placing.existing(*parts_.engine.declaration(name)));
            }
        }
    }
    return std::nullopt;
}

std::optional<grouping::MembershipId> Services::unit_places(std::string_view unit) {
    const units::Declaration* declaration = parts_.engine.declaration(unit);
    if (declaration == nullptr || !parts_.placing.group_of(unit)) {
        return std::nullopt;
    }
    return parts_.forest.intern(parts_.placing.existing(*declaration));
}

// --- sd_notify
// -------------------------------------------------------------------------------------------------------------

void Services::receive_notifications(int socket) {
    constexpr int a_round = 64;
    for (int i = 0; i < a_round; ++i) {
        auto message = launch::peek_notify(socket);
        if (!message) {
            return;
        }
        notified(*message);
        settle();  // journalled before the datagram leaves the queue
        if (!launch::consume_notify(socket)) {
            return;
        }
    }
}

void Services::notified(const launch::ReceivedNotify& message) {
    parts_.census.drain_tracker();
    if (parts_.census.table().find(message.pid) == nullptr) {
        parts_.census.look_for(message.pid);  // a child of a member, younger than the last sweep
    }
    const processes::Process* sender = parts_.census.table().find(message.pid);
    const std::string unit = sender == nullptr ? std::string() : unit_of(*sender);
    if (unit.empty()) {
        return;  // not from a member of any unit: nobody's word
    }
    const launch::NotifyMessage said = launch::parse_notify(message.text);
    if (said.main_pid) {
        const processes::Process* main = parts_.census.table().find(*said.main_pid);
        if (main != nullptr && unit_of(*main) == unit) {
            parts_.engine.main_changed(unit, main->id());
        }
    }
    if (said.extend_timeout) {
        parts_.engine.extend_timeout(unit, *said.extend_timeout, now());
    }
    if (said.reloading) {
        parts_.engine.reloading(unit, now());
    }
    if (said.ready) {
        if (const auto live = live_.find(unit); live != live_.end() && live->second.slot) {
            exec_settled(unit);  // it speaks, so it was executed
        }
        parts_.engine.ready(unit, now());
    }
    if (said.status) {
        parts_.chronicle.note("unit-status", {{"unit", unit}, {"status", *said.status}});
    }
}

}  // namespace gpcsup::supervisor
