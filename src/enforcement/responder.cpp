#include "enforcement/responder.h"

#include <cerrno>
#include <cstring>

#include <sched.h>
#include <unistd.h>

#include "enforcement/caller.h"
#include "enforcement/clock.h"
#include "enforcement/flights.h"
#include "enforcement/pending.h"
#include "enforcement/trapped_call.h"

namespace gpcsup::enforcement {
namespace {

using wire::PendingState;
using wire::TrapClass;

constexpr std::uint32_t max_looks = 8;
constexpr std::uint64_t all_looks_ns =
    5'000'000;                                    // threads and zombies linger that long after a join or wait
constexpr std::uint64_t first_pause_ns = 40'000;  // doubling: eight looks in five milliseconds
constexpr std::uint64_t storm_grid_ns = 10'000'000;
constexpr std::uint64_t storm_least_ns = 1'000'000;

constexpr std::uint64_t reminder_ns = 250'000'000;

}  // namespace

void Responder::use_supervisor_wakeup(int descriptor) {
    if (supervisor_wakeup_ >= 0) {
        close(supervisor_wakeup_);
    }
    supervisor_wakeup_ = descriptor;
}

void Responder::let_in() {
    if (released_ && listeners_.any_aside()) {
        listeners_.take_back(share());
    }
    released_ = false;
}

void Responder::flush_wakeup() {
    if (wakeup_due_ && supervisor_wakeup_ >= 0) {
        const std::uint64_t one = 1;
        static_cast<void>(!write(supervisor_wakeup_, &one, sizeof(one)));
        wakeup_due_ = false;
    }
}

void Responder::take(std::uint32_t slot, std::uint32_t listener) {
    ++held_;
    listener_of_[slot] = listener;
    ++listeners_.at(listener).held;
}

void Responder::release(std::uint32_t slot) {
    set_state(table_->pending[slot], PendingState::free);
    Listener& listener = listeners_.at(listener_of_[slot]);
    // Else it has gone, or came anew in between.
    if (listener.key == table_->pending[slot].domain_key.load() && listener.held > 0) {
        --listener.held;
    }
    looks_[slot] = {};
    --held_;
    released_ = true;
}

wire::Domain* Responder::domain_of(Listener& listener) const {
    if (table_->domains[listener.domain].key.load() == listener.key) {
        return &table_->domains[listener.domain];
    }
    const std::uint32_t end = table_->domain_end.load();
    for (std::uint32_t row = 0; row < end && row < wire::domain_count; ++row) {
        if (table_->domains[row].key.load() == listener.key) {
            listener.domain = row;
            return &table_->domains[row];
        }
    }
    return nullptr;
}

// Without this word gpcsupd could not tell a start that failed before it had a listener from one whose
// processes live on, and its row would be lost.
void Responder::listening(std::uint32_t index) {
    Listener& listener = listeners_.at(index);
    wire::Domain* domain = listener.key == 0 ? nullptr : domain_of(listener);
    if (domain != nullptr) {
        domain->listened.store(1);
    }
}

Leaves Responder::leaves_of(const wire::Domain& domain, const wire::Pending& pending) const {
    const seccomp_notif& notification = pending.notification;
    const wire::Override* moved = domain.overrides.load() == 0
                                      ? nullptr
                                      : find_override(*table_, pending.domain_key.load(), notification.pid);
    const auto row_of = [&](TrapClass trap_class) {
        const auto index = static_cast<unsigned>(trap_class);
        return moved != nullptr ? moved->budget[index].load() : domain.budget[index].load();
    };
    Leaves leaves;
    if (class_of_slot(pending) == TrapClass::file) {
        leaves.file_row = row_of(TrapClass::file);
        leaves.files = files_of(*table_, notification.data);
        return leaves;
    }
    const std::uint64_t flags = clone_flags(notification.data);
    leaves.row = row_of(TrapClass::task);
    if ((flags & CLONE_THREAD) == 0) {
        leaves.process_row = moved != nullptr ? moved->process_budget.load() : domain.process_budget.load();
    }
    if ((flags & CLONE_PIDFD) != 0) {
        leaves.file_row = row_of(TrapClass::file);
    }
    return leaves;
}

void Responder::serve(std::uint32_t index) {
    Listener& listener = listeners_.at(index);
    if (listener.key == 0 || !has_room()) {
        return;
    }
    if (listener.held >= share()) {
        listeners_.set_aside(index);
        return;
    }
    std::uint32_t slot = 0;  // the lowest free one: it is warm, and what was never needed is never touched
    while (state_of(table_->pending[slot]) != PendingState::free) {
        ++slot;
    }
    slot_end_ = slot < slot_end_ ? slot_end_ : slot + 1;
    wire::Pending& pending = table_->pending[slot];
    std::memset(&pending.notification, 0, sizeof(pending.notification));
    pending.domain_key.store(listener.key);
    set_state(pending, PendingState::receiving);
    take(slot, index);
    if (receive(listener.descriptor, pending.notification) == Received::nothing) {
        release(slot);
        return;
    }
    table_->received.fetch_add(1);
    pending.since_ns.store(now_ns());
    decide(slot, listener);
}

void Responder::decide(std::uint32_t slot, Listener& listener) {
    wire::Pending& pending = table_->pending[slot];
    const seccomp_notif& notification = pending.notification;
    const TrapClass trap_class = class_of(*table_, notification.data);
    pending.attempts.store(0);
    pending.due_ns.store(0);
    pending.full_row.store(wire::no_row);
    pending.trap_class.store(static_cast<std::uint32_t>(trap_class));
    set_state(pending, PendingState::deciding);
    if (trap_class == TrapClass::none) {
        send_continue(listener.descriptor, notification.id);
        release(slot);
        return;
    }
    if (notification.pid == 0) {  // a caller whose number means nothing here cannot be counted
        send_error(listener.descriptor, notification.id, EPERM);
        release(slot);
        return;
    }
    if (trap_class == TrapClass::affinity || trap_class == TrapClass::policy) {
        if (alone_) {
            send_continue(listener.descriptor, notification.id);
            release(slot);
        } else {
            park(slot);
        }
        return;
    }
    forget_flight(*table_, notification.pid);
    std::uint32_t full = wire::no_row;
    switch (admit(slot, listener, full)) {
        case Admission::admitted:
            return;
        case Admission::waits:
            park(slot);
            return;
        case Admission::full:
            be_full(slot, listener, full, now_ns());
            return;
        case Admission::spent:
            be_spent(slot, listener, full, now_ns());
            return;
    }
}

void Responder::park(std::uint32_t slot) {
    set_state(table_->pending[slot], PendingState::parked);
    wakeup_due_ = true;
    expect_supervisor();
}

void Responder::expect_supervisor() {
    if (remind_at_ == never) {
        remind_at_ = now_ns() + reminder_ns;
    }
}

Responder::Admission Responder::admit(std::uint32_t slot, Listener& listener, std::uint32_t& full) {
    const wire::Pending& pending = table_->pending[slot];
    const wire::Domain* domain = domain_of(listener);
    if (domain == nullptr) {
        return Admission::waits;  // not written yet: to let go on would be to let out
    }
    const Leaves leaves = leaves_of(*domain, pending);
    const bool task = class_of_slot(pending) == TrapClass::task;
    const std::uint64_t now = now_ns();
    full = task ? find_spent(*table_, leaves.row, now) : wire::no_row;
    if (full != wire::no_row) {
        return Admission::spent;
    }
    const seccomp_notif& notification = pending.notification;
    full = find_full(*table_, leaves);
    if (full != wire::no_row && leaves.file_row != wire::no_row &&
        severity_of(notification.pid) == Severity::limit) {
        full = find_full(*table_, leaves, Severity::limit);
    }
    if (full != wire::no_row) {
        return Admission::full;
    }
    if (leaves.any()) {
        wire::Flight* flight = find_free_flight(*table_, notification.pid);
        if (flight == nullptr) {
            table_->flights_wanted.store(now_ns());
            return Admission::waits;
        }
        // Before `issued` is: whoever reads the higher number also sees the flight.
        write_flight(*flight, notification.pid, flight_call(notification.data, leaves), leaves, now_ns());
    }
    if (task) {
        spend(*table_, leaves.row, now);
    }
    reserve(*table_, leaves);
    send_continue(listener.descriptor, notification.id);
    release(slot);
    return Admission::admitted;
}

void Responder::schedule(std::uint32_t slot, std::uint64_t at) {
    looks_[slot] = {0, at};
    if (at < next_look_) {
        next_look_ = at;
    }
}

void Responder::ask(std::uint32_t slot, std::uint32_t row, std::uint64_t since) {
    looks_[slot].asked = since;
    wire::Budget& budget = table_->budgets[row];
    if (budget.recount_wanted.load() < since) {
        budget.recount_wanted.store(since);
    }
    if (budget.recounted.load() < since) {
        wakeup_due_ = true;
        expect_supervisor();
    }
}

// The cheap bound says full for the first time.
void Responder::be_full(std::uint32_t slot, Listener& listener, std::uint32_t row, std::uint64_t now) {
    wire::Pending& pending = table_->pending[slot];
    pending.full_row.store(row);
    if (alone_) {
        refuse(slot, listener, row, now);
        return;
    }
    if (storming(table_->budgets[row], now)) {
        delay(slot, now);
        return;
    }
    set_state(pending, PendingState::parked);
    ask(slot, row, pending.since_ns.load());
}

// Late, and all at the same moments: one count serves everyone who waits, and a loop of refused forks gets no
// CPU.
void Responder::delay(std::uint32_t slot, std::uint64_t now) {
    wire::Pending& pending = table_->pending[slot];
    const std::uint64_t due = ((now + storm_least_ns) / storm_grid_ns + 1) * storm_grid_ns;
    pending.due_ns.store(due);
    pending.attempts.store(max_looks - 1);
    schedule(slot, due);
    set_state(pending, PendingState::delayed);
}

// No count can change what has been let in in a window.
void Responder::be_spent(std::uint32_t slot, Listener& listener, std::uint32_t row, std::uint64_t now) {
    if (!alone_ && storming(table_->budgets[row], now)) {
        table_->pending[slot].full_row.store(row);
        delay(slot, now);
    } else {
        refuse(slot, listener, row, now, wire::RefusalCause::rate);
    }
}

// A parked request finds its budget full again: has it been counted since, and often enough?
void Responder::judge_full(std::uint32_t slot, Listener& listener, std::uint32_t row, std::uint64_t now) {
    wire::Pending& pending = table_->pending[slot];
    pending.full_row.store(row);
    if (alone_) {
        refuse(slot, listener, row, now);
        return;
    }
    Look& look = looks_[slot];
    if (look.asked == 0) {  // it was delayed until now, or a predecessor has parked it
        look.asked = look.at == 0 ? pending.since_ns.load() : now;
    }
    if (table_->budgets[row].recounted.load() < look.asked) {
        ask(slot, row, look.asked);  // perhaps another level than last time
        return;
    }
    const std::uint32_t looked = pending.attempts.fetch_add(1) + 1;
    if (looked == 1) {
        pending.due_ns.store(now + all_looks_ns);
    }
    if (looked >= max_looks || now >= pending.due_ns.load()) {
        refuse(slot, listener, row, now);
        return;
    }
    schedule(slot, now + (first_pause_ns << (looked - 1)));
}

void Responder::refuse(std::uint32_t slot, Listener& listener, std::uint32_t row, std::uint64_t now,
                       wire::RefusalCause cause) {
    const wire::Pending& pending = table_->pending[slot];
    wire::Budget& budget = table_->budgets[row];
    const std::uint64_t sequence = table_->refusals.load() + 1;
    wire::Refusal& refusal = table_->refusal[sequence % wire::refusal_count];
    refusal.sequence.store(0);
    refusal.monotonic_ns = now;
    refusal.tid = pending.notification.pid;
    refusal.row = row;
    refusal.key = budget.key.load();
    refusal.call = pending.notification.data.nr;
    refusal.cause = static_cast<std::uint32_t>(cause);
    refusal.sequence.store(sequence);
    table_->refusals.store(sequence);
    (cause == wire::RefusalCause::rate ? budget.rate_failcnt : budget.failcnt).fetch_add(1);
    const wire::Domain* domain = domain_of(listener);
    if (cause == wire::RefusalCause::limit && domain != nullptr &&
        class_of_slot(pending) == TrapClass::task) {
        spend(*table_, leaves_of(*domain, pending).row, now, wire::RateSpends::asked);
    }
    count_refusal(budget, now);
    send_error(listener.descriptor, pending.notification.id, static_cast<int>(budget.refuse_errno.load()));
    release(slot);
    wakeup_due_ = true;
}

void Responder::give_verdict(std::uint32_t slot, Listener& listener) {
    wire::Pending& pending = table_->pending[slot];
    const std::uint64_t id = pending.notification.id;
    if (pending.answered_id.load() != id) {
        park(slot);  // meant for a request that this slot held before
        return;
    }
    if (pending.proceed.load() != 0) {
        send_continue(listener.descriptor, id);
    } else if (const int error = pending.error.load(); error != 0) {
        send_error(listener.descriptor, id, error);
    } else {
        send_value(listener.descriptor, id, pending.value.load());
    }
    release(slot);
}

void Responder::examine(std::uint32_t slot, std::uint64_t now) {
    wire::Pending& pending = table_->pending[slot];
    const PendingState state = state_of(pending);
    if (state == PendingState::free) {
        return;
    }
    const std::uint32_t index = listeners_.find(pending.domain_key.load());
    if (index == wire::no_row) {
        release(slot);
        return;
    }
    Listener& listener = listeners_.at(index);
    if (state == PendingState::answered) {
        give_verdict(slot, listener);
        return;
    }
    const TrapClass trap_class = class_of_slot(pending);
    if (trap_class == TrapClass::affinity || trap_class == TrapClass::policy) {
        if (alone_) {
            send_continue(listener.descriptor, pending.notification.id);
            release(slot);
        }
        return;
    }
    if (state == PendingState::delayed) {
        if (now < pending.due_ns.load() && !alone_) {
            schedule(slot, pending.due_ns.load());
            return;
        }
        looks_[slot].at = now;
        set_state(pending, PendingState::parked);
    }
    if (!still_waits(listener.descriptor, pending.notification.id)) {
        release(slot);
        return;
    }
    if (const Look& look = looks_[slot]; look.asked == 0 && now < look.at) {
        schedule(slot, look.at);
        return;
    }
    std::uint32_t full = wire::no_row;
    switch (admit(slot, listener, full)) {
        case Admission::full:
            judge_full(slot, listener, full, now);
            return;
        case Admission::spent:
            refuse(slot, listener, full, now, wire::RefusalCause::rate);
            return;
        case Admission::waits:
            wakeup_due_ = wakeup_due_ || table_->flights_wanted.load() > table_->flights_resolved.load();
            return;
        case Admission::admitted:
            return;
    }
}

void Responder::look_again(std::uint64_t now) {
    next_look_ = never;
    const bool remind = now >= remind_at_;
    remind_at_ = remind || held_ == 0 ? never : remind_at_;
    for (std::uint32_t slot = 0; slot < slot_end_ && held_ > 0; ++slot) {
        examine(slot, now);
        if (remind && state_of(table_->pending[slot]) == PendingState::parked) {
            wakeup_due_ = true;
            expect_supervisor();
        }
    }
}

void Responder::forget_domain(std::uint64_t key) {
    for (std::uint32_t slot = 0; slot < slot_end_; ++slot) {
        const wire::Pending& pending = table_->pending[slot];
        if (state_of(pending) != PendingState::free && pending.domain_key.load() == key) {
            release(slot);
        }
    }
    const std::uint32_t end = table_->domain_end.load();
    for (std::uint32_t row = 0; row < end && row < wire::domain_count; ++row) {
        if (table_->domains[row].key.load() == key) {
            table_->domains[row].closed.store(1);
        }
    }
    wakeup_due_ = true;
}

}  // namespace gpcsup::enforcement
