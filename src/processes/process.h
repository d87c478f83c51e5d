#pragma once
// One process as the supervisor knows it. Lives in the process table's shared memory, so that a successor of
// gpcsupd finds membership and CPU ledger as they were: a plain layout, written by gpcsupd only. A change
// here is a new table_version (table_layout.h).

#include <sys/types.h>

#include <cstdint>

#include "base/process_id.h"
#include "grouping/ids.h"

namespace gpcsup::processes {

enum ProcessFlag : std::uint32_t {
    process_dead = 1u << 0,  // its last thread has gone; kept until it is settled with its parent or gpc-init
    process_service = 1u << 1,  // started by gpcsupd: a unit's main process, or its stop or reload command
    process_orphan = 1u << 2,   // became gpc-init's child without an intent
    process_moved = 1u << 3,    // its membership is not the one it was born with
    process_stray = 1u << 4,    // nobody could say whose it is: in the root groups
    process_helper = 1u << 10,  // one of our own programs, or what it started for itself: not a service
    process_recount = 1u << 5,  // `threads` may be off (events were lost): ask /proc at each exit of a thread
    process_unsettled = 1u << 6,  // a child of it has died since the last settle round
    process_autoreaps =
        1u << 7,  // its children vanish without being waited for (SIGCHLD ignored, SA_NOCLDWAIT)
    process_reaping_known = 1u << 8,  // the flag above was looked up in this round
    process_was_zombie = 1u << 9,     // seen as a zombie: somebody will wait, or has waited, for it
    process_frozen = 1u << 11,        // stopped by us, or about to be: it is continued when it is thawed
    process_was_stopped = 1u << 12,   // it stood still before we stopped it, and is left so
    process_unfreezable = 1u << 13,   // of a unit that is being stopped: it must be able to end
    process_to_place = 1u << 14,      // the placement rules are to be asked about it
    process_new_identity = 1u << 15,  // with the above: its user or group has changed
    process_other_memory = 1u << 20,  // its memory policy is not its group's: it was there before
    process_moves_pages = 1u << 21,   // its memory is on its way to the nodes of its group
    process_follows = 1u << 19,  // forked while its parent waited for the rules: goes where that one goes
};
// How an orphan's groups were found (Attribution, attribution.h), in three bits of `flags` above these.
inline constexpr unsigned process_attribution_shift = 16;
inline constexpr std::uint32_t process_attribution_mask = 7u << process_attribution_shift;

// Dead, waited-for descendants not yet settled, by their groups: an index into the table's books (see
// books.h).
struct Waited {
    std::uint32_t book = 0;
    std::uint32_t count = 0;
};
inline constexpr unsigned waited_count = 4;  // further books of descendants go to the last

struct Process {
    std::int32_t pid = 0;  // 0 = a free row
    std::int32_t parent = 0;
    std::uint64_t start_time = 0;  // 0: gone before it could be looked at
    std::uint32_t flags = 0;
    std::uint32_t threads = 1;
    grouping::MembershipId
        membership;          // of a live process; a dead one has released it: see ProcessTable::places
    std::uint32_t book = 0;  // where its time is written; the same groups as `membership`
    std::int32_t session = 0;
    std::int32_t group = 0;  // process group, as it was at first sight
    // The ledger's figures (ledger.h; spec: mechanisms section 1). Nanoseconds.
    std::uint64_t seen_ns = 0;           // own CPU time credited so far
    std::uint64_t children_ns = 0;       // R: the part of its children's time already credited
    std::uint64_t last_children_ns = 0;  // C read in the previous settle round
    std::uint64_t system_ns = 0;         // of what was credited (own and R): in the kernel
    std::uint64_t thread_ns = 0;         // sum over its ended threads of their time on the CPU (taskstats)
    std::uint64_t tick_ns = 0;           // the same by ticks
    Waited waited[waited_count];
    // Why it is in its group of each hierarchy: 0 = nobody said so, else the mark of a placement rule, or
    // that it was placed explicitly (grouping/rules.h). A child has its parent's.
    std::uint16_t placed_by[grouping::max_hierarchies] = {};
    std::uint16_t past_limits = 0;  // what it had before its group limited it: supervisor/past_limits.h
    std::uint16_t graft = 0;        // whose filter it has, if not one of its start: supervisor/grafts.h
    std::uint16_t reserved[2] = {};

    [[nodiscard]] base::ProcessId id() const { return {pid, start_time}; }
    [[nodiscard]] bool has(ProcessFlag flag) const { return (flags & flag) != 0; }
};

}  // namespace gpcsup::processes
