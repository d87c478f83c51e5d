#pragma once
// State and class of a slot, as the enumerations they are. Nothing else.

#include "wire/enforcement_table.h"

namespace gpcsup::enforcement {

inline wire::PendingState state_of(const wire::Pending& pending) {
    return static_cast<wire::PendingState>(pending.state.load());
}

inline void set_state(wire::Pending& pending, wire::PendingState state) {
    pending.state.store(static_cast<std::uint32_t>(state));
}

inline wire::TrapClass class_of_slot(const wire::Pending& pending) {
    return static_cast<wire::TrapClass>(pending.trap_class.load());
}

}  // namespace gpcsup::enforcement
