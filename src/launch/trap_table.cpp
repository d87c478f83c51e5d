#include "launch/trap_table.h"

#include <array>
#include <cerrno>
#include <vector>

#include <linux/sched.h>
#include <linux/seccomp.h>
#include <sys/socket.h>

#include "launch/file_calls.h"

namespace gpcsup::launch {
namespace {

using wire::TrapClass;

constexpr std::array<TrappedCall, 9> plain = {{
    {"fork", TrapClass::task, 57, 2},
    {"vfork", TrapClass::task, 58, 190},
    {"clone", TrapClass::task, 56, 120},
    {"sched_setaffinity", TrapClass::affinity, 203, 241},
    {"set_mempolicy", TrapClass::policy, 238, 276},
    {"mbind", TrapClass::policy, 237, 274},
    {"migrate_pages", TrapClass::policy, 256, 294},
    {"move_pages", TrapClass::policy, 279, 317},
    {"set_mempolicy_home_node", TrapClass::policy, 450, 450},
}};

constexpr std::uint32_t task = class_mask(TrapClass::task);
constexpr std::uint32_t file = class_mask(TrapClass::file);
constexpr std::uint32_t affinity = class_mask(TrapClass::affinity);

constexpr std::uint32_t set_worker_affinity = 17;  // IORING_REGISTER_IOWQ_AFF
constexpr std::uint32_t pass_pidfd = 76;           // SO_PASSPIDFD, Linux 6.5
constexpr std::uint32_t peer_pidfd = 77;           // SO_PEERPIDFD

struct ArgumentCall {
    std::string_view name;
    Conditions when;
};

constexpr std::uint32_t registered_ring_bit =
    1U << 31;  // IORING_REGISTER_USE_REGISTERED_RING, may be set beside it

constexpr std::array<RefusedCall, 6> refused = {{
    // Its flags are in memory, where nobody may look and then let go on. Every libc falls back to clone.
    {"clone3", task | file, 435, 435, ENOSYS},
    // Its workers are tasks nobody cloned, open files nobody opened, and run where nobody asked to.
    {"io_uring_setup", task | file | affinity, 425, 425, EPERM},
    // A ring that was inherited or passed over a socket.
    {"io_uring_register", affinity, 427, 427, EPERM, {{{1, ~registered_ring_bit, set_worker_affinity}}}},
    // One that came that way opens and accepts for whoever submits to it.
    {"io_uring_enter", file, 426, 426, EPERM},
    {"io_uring_register", file, 427, 427, EPERM},
    // Each message received from then on would bring a pidfd. As on a kernel that does not know the option.
    {"setsockopt", file, 54, 366, ENOPROTOOPT, {{{1, ~0U, SOL_SOCKET}, {2, ~0U, pass_pidfd}}}},
}};

// Calls that make a file only with these arguments. clone is of class task where tasks are limited, too:
// gpc-enforce looks at its flags, and counts in both.
constexpr ArgumentCall by_argument[] = {
    {"signalfd", {{{0, ~0U, ~0U}}}},  // -1: a new one; else the mask of one that is there
    {"signalfd4", {{{0, ~0U, ~0U}}}},
    {"clone", {{{0, CLONE_PIDFD, CLONE_PIDFD}}}},
    {"seccomp", {{{1, SECCOMP_FILTER_FLAG_NEW_LISTENER, SECCOMP_FILTER_FLAG_NEW_LISTENER}}}},
    {"getsockopt", {{{1, ~0U, SOL_SOCKET}, {2, ~0U, peer_pidfd}}}},
    // socketcall(2) of i386: its further arguments are in memory.
    {"socketcall", {{{0, ~0U, 1}}}},   // SYS_SOCKET
    {"socketcall", {{{0, ~0U, 5}}}},   // SYS_ACCEPT
    {"socketcall", {{{0, ~0U, 8}}}},   // SYS_SOCKETPAIR
    {"socketcall", {{{0, ~0U, 18}}}},  // SYS_ACCEPT4
};

// The commands of bpf(2) that give a descriptor of something new.
constexpr std::uint32_t bpf_commands[] = {0, 5, 7, 13, 14, 17, 18, 19, 28, 30, 32, 33, 36};

// Known commands of ioctl(2) that do. Drivers have more: what those make has a descriptor, and is found by
// the next count.
constexpr std::uint32_t file_ioctls[] = {
    0x5441,                  // TIOCGPTPEER
    0xb701,     0xb702,      // NS_GET_USERNS, NS_GET_PARENT
    0x8010b70b, 0x8010b70c,  // NS_MNT_GET_NEXT, NS_MNT_GET_PREV
    0xff01,     0xff02,     0xff03,
    0xff04,     0xff05,  // PIDFD_GET_…_NAMESPACE
    0xff06,     0xff07,     0xff08,
    0xff09,     0xff0a,
    0xaa00,  // USERFAULTFD_IOC_NEW
    0xae01,     0xae41,     0xaece,
    0xc00caee0, 0xc040aed4,              // KVM: VM, VCPU, STATS_FD, DEVICE, GUEST_MEMFD
    0xc0184800,                          // DMA_HEAP_IOCTL_ALLOC
    0xc00c642d, 0xc01064c1,              // DRM: PRIME_HANDLE_TO_FD, SYNCOBJ_HANDLE_TO_FD
    0xc0303e03,                          // SYNC_IOC_MERGE
    0x40187542, 0x40087543,              // UDMABUF_CREATE, …_LIST
    0xc16cb403, 0xc030b404, 0xc250b407,  // GPIO: handle, event, line
    0x3b6a,     0x3b6e,                  // VFIO_GROUP_GET_DEVICE_FD, VFIO_DEVICE_GET…
    0xc018937e,                          // AUTOFS_DEV_IOCTL_OPENMOUNT
};

void add_file_call(std::vector<TrappedCall>& calls, std::string_view name, const Conditions& when) {
    for (const FileCall& call : file_calls()) {
        if (call.name == name) {
            calls.push_back({call.name, TrapClass::file, call.native, call.compat, when});
        }
    }
}

std::vector<TrappedCall> all_trapped() {
    std::vector<TrappedCall> calls(plain.begin(), plain.end());
    for (const FileCall& call : file_calls()) {
        if (call.makes == Makes::one || call.makes == Makes::two) {
            calls.push_back({call.name, TrapClass::file, call.native, call.compat});
        }
    }
    for (const ArgumentCall& call : by_argument) {
        add_file_call(calls, call.name, call.when);
    }
    for (const std::uint32_t command : bpf_commands) {
        add_file_call(calls, "bpf", {{{0, ~0U, command}}});
    }
    for (const std::uint32_t command : file_ioctls) {
        add_file_call(calls, "ioctl", {{{1, ~0U, command}}});
    }
    return calls;
}

constexpr std::array<std::string_view, wire::trap_class_count> names = {"none", "task", "file", "affinity",
                                                                        "policy"};

// The first row of a number says its class: clone is a task, whatever else it makes.
void set_class(std::uint8_t (&classes)[wire::call_number_count], int number, TrapClass trap_class) {
    if (number >= 0 && static_cast<std::uint32_t>(number) < wire::call_number_count && classes[number] == 0) {
        classes[number] = static_cast<std::uint8_t>(trap_class);
    }
}

void mark_pairs(wire::EnforcementTable& table) {
    for (const FileCall& call : file_calls()) {
        if (call.makes == Makes::two) {
            table.classes[call.native] |= wire::makes_two;
            table.compat_classes[call.compat] |= wire::makes_two;
        }
    }
}

}  // namespace

std::span<const TrappedCall> trapped_calls() {
    static const std::vector<TrappedCall> calls = all_trapped();
    return calls;
}

std::span<const RefusedCall> refused_calls() {
    return refused;
}

std::string_view class_name(wire::TrapClass trap_class) {
    const auto index = static_cast<std::size_t>(trap_class);
    return index < names.size() ? names[index] : "unknown";
}

void fill_classes(wire::EnforcementTable& table) {
    for (const TrappedCall& call : trapped_calls()) {
        set_class(table.classes, call.native, call.trap_class);
        set_class(table.compat_classes, call.compat, call.trap_class);
    }
    mark_pairs(table);
}

}  // namespace gpcsup::launch
