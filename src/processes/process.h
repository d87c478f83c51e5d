#pragma once
// One process as the supervisor knows it. Lives in the process table's shared memory, so that a successor of gpcsupd finds
// membership and CPU ledger as they were: a plain layout, written by gpcsupd only.

#include <sys/types.h>

#include <cstdint>

#include "base/process_id.h"
#include "grouping/ids.h"

namespace gpcsup::processes {

enum ProcessFlag : std::uint32_t {
    process_dead = 1u << 0,      // its last thread has gone; kept until it is settled with its parent or gpc-init
    process_service = 1u << 1,   // started by gpcsupd from a start intent: the main process of a unit
    process_orphan = 1u << 2,    // became gpc-init's child without an intent
    process_moved = 1u << 3,     // its membership is not the one it was born with
};

struct Waited {  // dead, waited-for descendants not yet settled, by their group in the accounting hierarchy
    std::uint32_t group = 0;
    std::uint32_t count = 0;
};

struct Process {
    std::int32_t pid = 0;  // 0 = a free row
    std::int32_t parent = 0;
    std::uint64_t start_time = 0;
    std::uint32_t flags = 0;
    std::uint32_t threads = 1;
    grouping::MembershipId membership;
    std::int32_t session = 0;
    // The ledger's figures (room processes, ledger.h; spec: mechanisms section 1). Nanoseconds.
    std::uint64_t seen_ns = 0;            // own CPU time credited so far
    std::uint64_t children_ns = 0;        // R: the part of its children's time already credited
    std::uint64_t last_children_ns = 0;   // C read in the previous settle round
    std::uint64_t system_ns = 0;          // of what was credited: in the kernel (for cpuacct.system)
    Waited waited[4];                     // overflow goes to the last

    [[nodiscard]] base::ProcessId id() const { return {pid, start_time}; }
};

}  // namespace gpcsup::processes
