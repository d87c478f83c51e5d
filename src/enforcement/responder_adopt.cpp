// The beginning and the end of a Responder: what a predecessor left in the table, and what nobody will answer
// any more.

#include <cerrno>
#include <utility>

#include "enforcement/clock.h"
#include "enforcement/pending.h"
#include "enforcement/responder.h"

namespace gpcsup::enforcement {

using wire::PendingState;

void Responder::answer_all() {
    const bool alone = std::exchange(alone_, true);
    look_again(now_ns());
    for (std::uint32_t slot = 0; slot < slot_end_ && held_ > 0; ++slot) {
        const wire::Pending& pending = table_->pending[slot];
        if (state_of(pending) == PendingState::free) {
            continue;
        }
        if (const std::uint32_t index = listeners_.find(pending.domain_key.load()); index != wire::no_row) {
            const bool file = class_of_slot(pending) == wire::TrapClass::file;
            send_error(listeners_.at(index).descriptor, pending.notification.id, file ? EMFILE : EAGAIN);
        }
        release(slot);
    }
    alone_ = alone;
}

void Responder::adopt() {
    for (std::uint32_t index = 0; index < listeners_.end(); ++index) {
        listening(index);
    }
    table_->tells_listened.store(1);
    held_ = 0;
    for (std::uint32_t index = 0; index < listeners_.end(); ++index) {
        listeners_.at(index).held = 0;
    }
    slot_end_ = wire::pending_count;  // wherever the predecessor left something
    for (std::uint32_t slot = 0; slot < wire::pending_count; ++slot) {
        wire::Pending& pending = table_->pending[slot];
        looks_[slot] = {};
        const PendingState state = state_of(pending);
        if (state == PendingState::free) {
            continue;
        }
        const std::uint32_t index = listeners_.find(pending.domain_key.load());
        if (index == wire::no_row) {
            set_state(pending, PendingState::free);
            continue;
        }
        take(slot, index);
        if (pending.notification.id == 0) {
            release(slot);
        } else if (state == PendingState::receiving || state == PendingState::deciding) {
            // Answered already: what was let go on is under way, and its flight and reservation stand. To
            // decide once more would forget the flight, and let in one too many.
            if (!still_waits(listeners_.at(index).descriptor, pending.notification.id)) {
                release(slot);
                continue;
            }
            pending.since_ns.store(now_ns());
            decide(slot, listeners_.at(index));
        }
    }
    look_again(now_ns());
}

}  // namespace gpcsup::enforcement
