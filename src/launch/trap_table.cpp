#include "launch/trap_table.h"

#include <array>
#include <cerrno>

namespace gpcsup::launch {
namespace {

using wire::TrapClass;

constexpr std::array<TrappedCall, 8> trapped = {{
    {"fork", TrapClass::task, 57, 2},
    {"vfork", TrapClass::task, 58, 190},
    {"clone", TrapClass::task, 56, 120},
    {"sched_setaffinity", TrapClass::affinity, 203, 241},
    {"set_mempolicy", TrapClass::policy, 238, 276},
    {"mbind", TrapClass::policy, 237, 274},
    {"migrate_pages", TrapClass::policy, 256, 294},
    {"set_mempolicy_home_node", TrapClass::policy, 450, 450},
}};

constexpr std::uint32_t task = class_mask(TrapClass::task);
constexpr std::uint32_t file = class_mask(TrapClass::file);
constexpr std::uint32_t affinity = class_mask(TrapClass::affinity);

constexpr std::uint32_t set_worker_affinity = 17;  // IORING_REGISTER_IOWQ_AFF
constexpr std::uint32_t registered_ring_bit =
    1U << 31;  // IORING_REGISTER_USE_REGISTERED_RING, may be set beside it

constexpr std::array<RefusedCall, 3> refused = {{
    // Its flags are in memory, where nobody may look and then let go on. Every libc falls back to clone.
    {"clone3", task, 435, 435, ENOSYS},
    // Its workers are tasks nobody cloned, open files nobody opened, and run where nobody asked to.
    {"io_uring_setup", task | file | affinity, 425, 425, EPERM},
    // A ring that was inherited or passed over a socket.
    {"io_uring_register", affinity, 427, 427, EPERM, 1, ~registered_ring_bit, set_worker_affinity},
}};

constexpr std::array<std::string_view, wire::trap_class_count> names = {"none", "task", "file", "affinity",
                                                                        "policy"};

void set_class(std::uint8_t (&classes)[wire::call_number_count], int number, TrapClass trap_class) {
    if (number >= 0 && static_cast<std::uint32_t>(number) < wire::call_number_count) {
        classes[number] = static_cast<std::uint8_t>(trap_class);
    }
}

}  // namespace

std::span<const TrappedCall> trapped_calls() {
    return trapped;
}

std::span<const RefusedCall> refused_calls() {
    return refused;
}

std::string_view class_name(wire::TrapClass trap_class) {
    const auto index = static_cast<std::size_t>(trap_class);
    return index < names.size() ? names[index] : "unknown";
}

void fill_classes(wire::EnforcementTable& table) {
    for (const TrappedCall& call : trapped) {
        set_class(table.classes, call.native, call.trap_class);
        set_class(table.compat_classes, call.compat, call.trap_class);
    }
}

}  // namespace gpcsup::launch
