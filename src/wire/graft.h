#pragma once
// What gpcsupd asks gpc-graft, one process a request, over a SOCK_SEQPACKET socketpair (its descriptor 3;
// descriptor 4 is the handover socket of gpc-init): to give a process that runs already the filter that it
// would have been born with. Layout only.

#include <linux/filter.h>

#include <cstddef>
#include <cstdint>

namespace gpcsup::wire {

inline constexpr std::uint32_t graft_version = 1;
inline constexpr int graft_socket = 3;
inline constexpr int graft_handover = 4;
inline constexpr std::uint32_t graft_most_instructions = BPF_MAXINSNS;

enum class GraftMode : std::uint32_t {
    fresh,    // nobody has tried before: a filter that is there is the process's own
    recover,  // a predecessor may have come any part of the way: a listener that is there is ours
};

struct GraftRequest {
    std::uint32_t version = graft_version;
    GraftMode mode = GraftMode::fresh;
    std::int32_t pid = 0;
    std::uint32_t timeout_ms = 0;  // for everything
    std::uint64_t start_time = 0;
    std::uint64_t listener_key = 0;
    std::uint32_t filter_count = 0;
    std::uint32_t reserved = 0;
    sock_filter filter[graft_most_instructions] = {};  // the datagram ends behind the last one
};

constexpr std::size_t size_of_graft(std::uint32_t filter_count) {
    return offsetof(GraftRequest, filter) + filter_count * sizeof(sock_filter);
}

// What became of it. Everything but `enforced` leaves the process as it was, or says so.
enum class GraftOutcome : std::uint32_t {
    enforced,
    gone,             // the process has ended
    own_filter,       // one of its threads has a seccomp filter already
    own_listener,     // it answers for the filter of others: its descriptors cannot be told from ours
    traced,           // by a debugger
    not_permitted,    // ptrace, or its files in /proc
    needs_promise,    // no thread has CAP_SYS_ADMIN, and not all have promised no_new_privs
    other_abi,        // 32-bit, x32, or not x86
    no_thread,        // none could be borrowed in time without disturbing it
    no_room,          // no vdso, or no room behind it
    no_listener,      // it has a filter, and nowhere a listener: only in mode `recover`
    copy_left,        // filtered and answered for, but it still holds a descriptor of its listener
    not_handed_over,  // filtered, and gpc-init could not take the listener
    failed,           // `error` says of what
    count_
};

struct GraftAnswer {
    std::uint32_t version = graft_version;
    GraftOutcome outcome = GraftOutcome::failed;
    std::int32_t error = 0;
    std::int32_t thread = 0;       // that was borrowed
    std::int32_t other = 0;        // the thread with a filter, or who traces it
    std::uint32_t attempts = 0;    // threads that were stopped
    std::uint64_t stopped_ns = 0;  // the longest time for which one of them stood still
};

}  // namespace gpcsup::wire
