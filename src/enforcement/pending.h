#pragma once
// The state of a slot, as the enumeration it is. Nothing else.

#include "wire/enforcement_table.h"

namespace gpcsup::enforcement {

inline wire::PendingState state_of(const wire::Pending& pending) {
    return static_cast<wire::PendingState>(pending.state.load());
}

inline void set_state(wire::Pending& pending, wire::PendingState state) {
    pending.state.store(static_cast<std::uint32_t>(state));
}

}  // namespace gpcsup::enforcement
