#pragma once
// Exit records: written by gpc-init before it reaps, folded by gpcsupd. gpc-init peeks at a zombie (waitid
// with WNOWAIT), fills the record at `head`, publishes head + 1 with release order, and only then reaps. A
// full ring leaves the zombie unreaped. gpcsupd folds the record at `tail` into its state, then publishes
// tail + 1. A successor of gpc-init that finds the zombie of the last record still there reaps it without a
// second record (same pid and start time as records[head-1]).

#include <atomic>
#include <cstdint>

namespace gpcsup::wire {

inline constexpr std::uint32_t exit_ring_version = 1;
inline constexpr std::uint64_t exit_ring_capacity = 1024;  // a power of two

struct ExitRecord {
    std::uint64_t sequence;      // = the value of head at which it was written
    std::uint64_t monotonic_ns;  // CLOCK_MONOTONIC at the peek
    std::uint64_t start_time;    // field 22 of /proc/PID/stat
    std::uint64_t clock_ns;      // T: the zombie's own CPU clock (children not included)
    std::uint64_t user_us;       // rusage of waitid(2): BOTH = own time and waited-for children, since birth
    std::uint64_t system_us;
    std::uint64_t max_rss_kib;
    std::int32_t pid;
    std::int32_t code;     // CLD_EXITED, CLD_KILLED or CLD_DUMPED
    std::int32_t status;   // exit status or signal number
    std::int32_t session;  // its session; tells whose an orphan was that nobody had heard of. 0 = unknown
};

struct ExitRing {
    std::uint32_t version;
    std::uint32_t capacity;
    std::atomic<std::uint64_t> head;  // next to write (gpc-init)
    std::atomic<std::uint64_t> tail;  // next to fold (gpcsupd)
    ExitRecord records[exit_ring_capacity];
};

}  // namespace gpcsup::wire
