#pragma once
// Which system calls belong to which class of trap, by ABI: data and nothing else. The filter that is set in
// a service and the table from which gpc-enforce reads a call's class both come from these rows, so the two
// cannot disagree.

#include <array>
#include <cstdint>
#include <span>
#include <string_view>

#include "wire/enforcement_table.h"

namespace gpcsup::launch {

inline constexpr int no_call = -1;  // the ABI has no such call

// A condition on a scalar argument: its lower half, masked, is this value. argument < 0 = always.
struct When {
    int argument = -1;
    std::uint32_t mask = 0;
    std::uint32_t value = 0;
};
using Conditions = std::array<When, 2>;  // all of them

struct TrappedCall {  // answered by gpc-enforce
    std::string_view name;
    wire::TrapClass trap_class;
    int native;  // x86_64 number
    int compat;  // i386 number
    Conditions when{};
};

// A call that would get around a class and is therefore answered inside the filter, without asking anyone.
struct RefusedCall {
    std::string_view name;
    std::uint32_t classes;  // 1 << TrapClass: refused when any of them is trapped
    int native;
    int compat;
    int error;
    Conditions when{};
};

constexpr std::uint32_t class_mask(wire::TrapClass trap_class) {
    return 1U << static_cast<unsigned>(trap_class);
}

std::span<const TrappedCall> trapped_calls();
std::span<const RefusedCall> refused_calls();

// "task", "affinity": for messages and `enforce = [...]`.
std::string_view class_name(wire::TrapClass trap_class);

// Fills EnforcementTable::classes and compat_classes.
void fill_classes(wire::EnforcementTable& table);

}  // namespace gpcsup::launch
