#pragma once
// What a trapped call asks for, by its number and its scalar arguments; memory is never looked at. No system
// call.

#include <linux/audit.h>
#include <linux/seccomp.h>
#include <sched.h>

#include <cstdint>

#include "enforcement/admission.h"
#include "wire/enforcement_table.h"

namespace gpcsup::enforcement {

inline constexpr int native_clone = 56;
inline constexpr int native_vfork = 58;
inline constexpr int compat_clone = 120;
inline constexpr int compat_vfork = 190;
inline constexpr int compat_socketcall = 102;
inline constexpr std::uint64_t socketcall_pair = 8;  // SYS_SOCKETPAIR

inline bool is_native(const seccomp_data& call) {
    return call.arch == AUDIT_ARCH_X86_64;
}

inline std::uint64_t clone_flags(const seccomp_data& call) {
    return call.nr == (is_native(call) ? native_clone : compat_clone) ? call.args[0] : 0;
}

inline std::uint32_t flight_call(const seccomp_data& call, const Leaves& leaves) {
    const bool waits =
        call.nr == (is_native(call) ? native_vfork : compat_vfork) || (clone_flags(call) & CLONE_VFORK) != 0;
    return static_cast<std::uint32_t>(call.nr) | (waits ? wire::flight_waits_for_child : 0) |
           (leaves.files > 1 ? wire::flight_makes_two : 0);
}

inline std::uint8_t class_word(const wire::EnforcementTable& table, const seccomp_data& call) {
    if (call.nr < 0 || static_cast<std::uint32_t>(call.nr) >= wire::call_number_count) {
        return 0;
    }
    return is_native(call) ? table.classes[call.nr] : table.compat_classes[call.nr];
}

inline wire::TrapClass class_of(const wire::EnforcementTable& table, const seccomp_data& call) {
    return static_cast<wire::TrapClass>(class_word(table, call) & ~wire::makes_two);
}

inline std::uint32_t files_of(const wire::EnforcementTable& table, const seccomp_data& call) {
    const bool pair = (class_word(table, call) & wire::makes_two) != 0 ||
                      (!is_native(call) && call.nr == compat_socketcall && call.args[0] == socketcall_pair);
    return pair ? 2 : 1;
}

}  // namespace gpcsup::enforcement
