#include "supervisor/grafts.h"

#include <fmt/format.h>

#include <algorithm>
#include <csignal>
#include <unordered_map>

#include "supervisor/error_text.h"
#include "sys/pidfd.h"
#include "wire/names.h"

namespace gpcsup::supervisor {

using base::ProcessId;
using processes::Process;
using wire::GraftOutcome;

namespace {

constexpr std::size_t most_at_once = 4;
constexpr std::size_t most_waiting = 4096;
constexpr std::uint32_t helper_time_ms = 6000;
constexpr std::uint64_t patience_ns = 15'000'000'000;  // its time, its handover, and a loaded machine
constexpr std::uint64_t pause_ns = 100'000'000;        // doubling

std::string reason_of(const wire::GraftAnswer& answer) {
    switch (answer.outcome) {
        case GraftOutcome::own_filter:
            return "it has a seccomp filter of its own";
        case GraftOutcome::own_listener:
            return "it answers for a seccomp filter of others";
        case GraftOutcome::traced:
            return fmt::format("it is traced by process {}", answer.other);
        case GraftOutcome::not_permitted:
            return "ptrace is not permitted: " + error_text(answer.error);
        case GraftOutcome::needs_promise:
            return "needs no_new_privs in all its threads, or CAP_SYS_ADMIN in one";
        case GraftOutcome::other_abi:
            return "it is not a 64-bit x86 process";
        case GraftOutcome::no_thread:
            return "none of its threads could be borrowed without disturbing it; restart it to enforce";
        case GraftOutcome::no_room:
            return "there is no room for the code behind its vdso";
        case GraftOutcome::no_listener:
            return "it has a seccomp filter, and nobody has its listener; restart it";
        case GraftOutcome::copy_left:
            return "it holds a copy of its filter's listener and could answer itself";
        case GraftOutcome::not_handed_over:
            return "gpc-init has no room for its filter's listener; restart it";
        default:
            return "set a filter: " + error_text(answer.error);
    }
}

}  // namespace

Grafts::Grafts(const Parts& parts, FilteredAtStart filtered_at_start)
    : parts_(parts), rows_(parts.census, parts.enforcer), filtered_at_start_(std::move(filtered_at_start)) {
    parts_.chronicle.add_rewriter([this](Chronicle&) {
        for (const auto& [process, graft] : grafts_) {
            write(graft);
        }
    });
}

base::Result<> Grafts::open() {
    graft_program_ = parts_.here.program(wire::graft_program);
    exec_program_ = parts_.here.program(wire::exec_program);
    auto timer = parts_.loop.on_time(EventLoop::Priority::processes, [this] { work(); });
    if (!timer) {
        return base::pass(timer);
    }
    timer_ = std::move(*timer);
    return {};
}

// --- news

void Grafts::moved(Process& process) {
    if (const Graft* graft = find(process.graft)) {
        const Process* owner = parts_.census.table().find(graft->process);
        if (owner == &process) {
            parts_.enforcer.move_domain(graft->key, parts_.census.table().places(process));
            settle_members(*graft);
        } else {
            rows_.settle(process, graft->key, DomainRows::Below::changed);
        }
        return;
    }
    if (is_limited(process) && !filtered_at_start_(process)) {
        want(process);
    }
}

// Whoever has been asked before stays as it is: a filter traps for good what it traps, and where none could
// be had it is tried anew when somebody attaches the process.
void Grafts::limits_set(grouping::GroupId group) {
    std::unordered_map<std::uint32_t, bool> limited;  // by membership: there are few, with many processes
    parts_.census.table().for_each_member_below(group, [&](Process& process) {
        if (process.graft != 0 || process.has(processes::process_helper)) {
            return;
        }
        const auto [at, is_new] = limited.try_emplace(process.membership.value, false);
        if (is_new) {
            at->second = is_limited(process);
        }
        if (at->second && !grafts_.contains(process.id()) && !filtered_at_start_(process)) {
            want(process);
        }
    });
}

bool Grafts::is_limited(const Process& process) const {
    return !parts_.controllers.required(parts_.census.table().places(process)).empty();
}

// Forked before its parent's filter was there, and perhaps heard of only now.
void Grafts::forked(const Process& parent, Process& child) {
    if (const Graft* graft = find(parent.graft)) {
        return look_at_child(*graft, child);
    }
    // Its parent waits for a filter, and may have ended before its turn comes. Of one that was refused the
    // children would be, too.
    const auto at = grafts_.find(parent.id());
    if (at != grafts_.end() && (at->second.state == State::waiting || at->second.state == State::running) &&
        is_limited(child) && filter_of(child.pid) == Filter::none) {
        want(child);
    }
}

void Grafts::exited(const Process& process) {
    if (const Graft* graft = find(process.graft)) {
        rows_.exited(process, graft->key);
    }
    const auto at = grafts_.find(process.id());
    if (at == grafts_.end() || at->second.state == State::running || at->second.state == State::done) {
        return;  // its helper says so; and others may have its filter
    }
    forget(at);
}

void Grafts::look_at_child(const Graft& graft, Process& child) {
    // Who was asked itself has its own answer: a filter of its own, it may be.
    if (child.has(processes::process_dead) || child.graft != 0 || grafts_.contains(child.id())) {
        return;
    }
    const Filter filter = filter_of(child.pid);
    if (filter == Filter::some) {
        child.graft = graft.number;
    } else if (filter == Filter::none && is_limited(child)) {
        want(child);
    }
}

// Its parent may have been grafted too late for it, and have ended before it was heard of.
void Grafts::orphaned(Process& process) {
    if (!grafts_.empty() && process.graft == 0 && !process.has(processes::process_dead) &&
        is_limited(process) && !filtered_at_start_(process) && filter_of(process.pid) == Filter::none) {
        want(process);
    }
}

void Grafts::adopt_descendants(const Graft& graft) {
    std::vector<pid_t> parents = {graft.process.pid};
    while (!parents.empty()) {
        const pid_t parent = parents.back();
        parents.pop_back();
        parts_.census.table().for_each_child(parent, [&](Process& child) {
            look_at_child(graft, child);
            parents.push_back(child.pid);
        });
    }
}

// --- the queue

void Grafts::want(const Process& process) {
    const auto [at, is_new] = grafts_.try_emplace(process.id());
    Graft& graft = at->second;
    if (!is_new && graft.state != State::refused) {
        return;
    }
    if (graft.key != 0) {
        return;  // refused with a filter: it can have no other
    }
    graft.process = process.id();
    graft.state = State::waiting;
    graft.reason.clear();
    graft.attempts = 0;
    graft.mode = wire::GraftMode::fresh;
    graft.due_ns = 0;
    if (queue_.size() >= most_waiting) {
        refuse(graft, fmt::format("{} processes wait for a filter already", queue_.size()));
        return;
    }
    queue_.push_back(graft.process);
    write(graft);
    parts_.loop.arm(timer_, monotonic_now_ns());
}

std::size_t Grafts::running() const {
    return static_cast<std::size_t>(
        std::ranges::count_if(grafts_, [](const auto& one) { return one.second.state == State::running; }));
}

void Grafts::work() {
    const std::uint64_t now = monotonic_now_ns();
    std::vector<ProcessId> late;
    for (const auto& [process, graft] : grafts_) {
        if (graft.state == State::running && graft.due_ns <= now) {
            late.push_back(process);
        }
    }
    for (const ProcessId process : late) {
        answered(process);
    }
    if (!let_in_.empty()) {
        parts_.census.take_news();
        for (const ProcessId process : std::exchange(let_in_, {})) {
            if (const auto at = grafts_.find(process); at != grafts_.end()) {
                adopt_descendants(at->second);
            }
        }
    }
    for (std::size_t turns = queue_.size(), busy = running(); turns > 0 && busy < most_at_once; --turns) {
        const ProcessId process = queue_.front();
        queue_.pop_front();
        const auto at = grafts_.find(process);
        if (at == grafts_.end() || at->second.state != State::waiting) {
            continue;
        }
        if (at->second.due_ns > now) {
            queue_.push_back(process);
            continue;
        }
        begin(at->second);
        busy = running();
    }
    arm();
}

void Grafts::arm() {
    std::uint64_t next = 0;
    const bool room = running() < most_at_once;
    for (const auto& [process, graft] : grafts_) {
        const bool waits = graft.state == State::waiting && room;
        if (waits || graft.state == State::running) {
            const std::uint64_t due = std::max<std::uint64_t>(graft.due_ns, 1);
            next = next == 0 ? due : std::min(next, due);
        }
    }
    if (!let_in_.empty()) {
        next = monotonic_now_ns();
    }
    parts_.loop.arm(timer_, next);
}

// --- one of them

void Grafts::begin(Graft& graft) {
    const Process* process = parts_.census.table().find(graft.process);
    if (process == nullptr || process->has(processes::process_dead)) {
        return forget(grafts_.find(graft.process));
    }
    const grouping::Places places = parts_.census.table().places(*process);
    // One that was cut short may have set its filter: what that traps stays.
    if (graft.mode == wire::GraftMode::fresh) {
        graft.trapped.clear();
        for (const controllers::Requirement& one : parts_.controllers.required(places)) {
            graft.trapped.emplace_back(one.controller);
        }
    }
    const auto classes = parts_.controllers.traps(places, graft.trapped);
    if (!classes || classes->empty()) {
        return forget(grafts_.find(graft.process));  // moved away again before its turn came
    }
    prune();
    if (auto launched = launch(graft, *classes, places); !launched) {
        let_helper_go(graft);
        if (graft.mode == wire::GraftMode::fresh) {  // nothing has been done to anybody
            parts_.enforcer.ended(std::exchange(graft.key, 0));
        }
        refuse(graft, launched.error().message());
    }
}

base::Result<> Grafts::launch(Graft& graft, std::span<const wire::TrapClass> classes,
                              const grouping::Places& places) {
    if (graft_program_.empty()) {
        return base::fail(ENOENT, "find", wire::graft_program);
    }
    graft.key = graft.key != 0 ? graft.key : parts_.chronicle.next_sequence();
    graft.state = State::running;
    ++graft.attempts;
    graft.due_ns = monotonic_now_ns() + patience_ns;
    write(graft);  // the intent, before anything is done to anybody
    auto filtered = parts_.enforcer.prepare(graft.key, classes, places, launch::Execution::trapped);
    if (!filtered) {
        return base::pass(filtered);
    }
    auto slot = parts_.slots.acquire(graft.key);
    if (!slot) {
        return base::pass(slot);
    }
    graft.slot = *slot;
    auto started = launch::start_graft(
        {graft.process, graft.mode, helper_time_ms, graft.key, filtered->filter, parts_.handover,
         parts_.here.init_pid, graft_program_, exec_program_, parts_.lane},
        parts_.slots, *slot);
    if (!started) {
        return base::pass(started);
    }
    graft.helper = std::move(*started);
    if (auto born = parts_.census.born(graft.helper.pid, parts_.forest.intern({}))) {
        if (Process* row = parts_.census.table().find(*born)) {
            row->flags |= processes::process_helper;
        }
    }
    auto watch = parts_.loop.on_readable(graft.helper.socket.get(), EventLoop::Priority::processes,
                                         [this, process = graft.process] {
                                             answered(process);
                                             arm();
                                         });
    if (!watch) {
        return base::pass(watch);
    }
    graft.watch = std::move(*watch);
    return {};
}

// An answer, an end without one, or its time is over.
void Grafts::answered(ProcessId process) {
    const auto at = grafts_.find(process);
    if (at == grafts_.end() || at->second.state != State::running) {
        return;
    }
    Graft& graft = at->second;
    const auto answer = launch::receive_answer(graft.helper);
    const auto failure = graft.slot ? parts_.slots.failure(*graft.slot) : std::nullopt;
    let_helper_go(graft);
    if (answer) {
        take(graft, *answer);
    } else if (failure) {
        refuse(graft, "gpc-graft cannot be started: " + error_text(failure->error));
    } else {
        try_again(graft, "gpc-graft ended without an answer");
    }
}

// Its death harms nobody: it is killed also when it has ended already.
void Grafts::let_helper_go(Graft& graft) {
    graft.watch = Watch();
    if (graft.helper.pidfd) {
        (void)sys::send_signal(graft.helper.pidfd, SIGKILL);
    }
    graft.helper = {};
    if (graft.slot) {
        parts_.slots.release(*graft.slot);
        graft.slot.reset();
    }
}

void Grafts::take(Graft& graft, const wire::GraftAnswer& answer) {
    using Listened = launch::EnforcementClient::Listened;
    switch (answer.outcome) {
        case GraftOutcome::enforced:
            return enforced(graft, answer);
        case GraftOutcome::gone:
            parts_.enforcer.ended(graft.key);
            return forget(grafts_.find(graft.process));
        case GraftOutcome::no_listener:
            if (parts_.enforcer.listened(graft.key) == Listened::yes) {
                return enforced(graft, answer);  // a predecessor's helper came to the end
            }
            parts_.enforcer.ended(graft.key);
            return refuse(graft, reason_of(answer));
        case GraftOutcome::copy_left:
            graft.reason = reason_of(answer);
            return enforced(graft, answer);
        case GraftOutcome::not_handed_over:
            return try_again(graft, reason_of(answer));
        default:
            if (graft.mode == wire::GraftMode::recover &&
                parts_.enforcer.listened(graft.key) == Listened::yes) {
                return enforced(graft, answer);  // the attempt before this one came to the end
            }
            parts_.enforcer.drop(graft.key);
            graft.key = 0;
            return refuse(graft, reason_of(answer));
    }
}

void Grafts::enforced(Graft& graft, const wire::GraftAnswer& answer) {
    graft.state = State::done;
    graft.number = free_number();
    numbers_[graft.number] = graft.process;
    Process* process = parts_.census.table().find(graft.process);
    if (process != nullptr) {
        process->graft = graft.number;
        parts_.enforcer.move_domain(graft.key,
                                    parts_.census.table().places(*process));  // it may have moved meanwhile
    }
    Json body = {{"pid", graft.process.pid},
                 {"start", graft.process.start_time},
                 {"controllers", graft.trapped},
                 {"thread", answer.thread},
                 {"stopped_us", answer.stopped_ns / 1000}};
    if (!graft.reason.empty()) {
        body["reason"] = graft.reason;
    }
    // In this order: killed in between, a successor tells it once more, and it is not lost.
    parts_.chronicle.note("grafted", body);
    write(graft);
    let_in_.push_back(graft.process);
}

void Grafts::refuse(Graft& graft, std::string reason) {
    graft.state = State::refused;
    graft.reason = std::move(reason);
    parts_.chronicle.note(
        "graft-refused",
        {{"pid", graft.process.pid}, {"start", graft.process.start_time}, {"reason", graft.reason}});
    write(graft);
}

void Grafts::try_again(Graft& graft, const std::string& why) {
    if (graft.attempts >= most_attempts) {
        parts_.enforcer.ended(graft.key);
        return refuse(graft, fmt::format("{}, {} times", why, graft.attempts));
    }
    graft.state = State::waiting;
    graft.mode = wire::GraftMode::recover;
    graft.due_ns = monotonic_now_ns() + (pause_ns << graft.attempts);
    queue_.push_back(graft.process);
}

}  // namespace gpcsup::supervisor
