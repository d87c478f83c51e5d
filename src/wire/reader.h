#pragma once
// What gpcsupd asks its disposable helper processes over a SOCK_SEQPACKET socketpair (descriptor 3 of
// gpc-reader): to read a trapped thread's memory, which may block for ever, so that only the reader has to be
// killed. Layout only.

#include <cstdint>

namespace gpcsup::wire {

inline constexpr int reader_socket = 3;
inline constexpr std::uint32_t reader_max_length = 1024;  // a CPU mask of 8192 bits

struct ReadRequest {
    std::uint64_t id = 0;
    std::int32_t tid = 0;
    std::int32_t call = 0;            // the call in which the thread must still be, with
    std::uint64_t arguments[3] = {};  // these first three arguments, after its memory has been read
    std::uint64_t address = 0;
    std::uint32_t length = 0;  // at most reader_max_length
    std::uint32_t reserved = 0;
};

struct ReadAnswer {
    std::uint64_t id = 0;
    std::int32_t error =
        0;  // EPERM: may not look; EFAULT: no such memory; ESTALE: the thread is in that call no more
    std::uint32_t length = 0;
    std::uint8_t data[reader_max_length] = {};
};

// The other thing a reader does: figures of /proc/PID of many, where smaps_rollup waits for a lock of the
// process that it looks at. Told apart by its size.
inline constexpr std::uint32_t memory_members = 64;
inline constexpr std::uint64_t memory_unknown = ~std::uint64_t{0};  // gone, not ours to see, or not in time

enum class MemoryFigure : std::uint32_t { resident, proportional };

struct MemoryRequest {
    std::uint64_t id = 0;
    MemoryFigure figure = MemoryFigure::resident;
    std::uint32_t count = 0;     // at most memory_members
    std::uint64_t until_ns = 0;  // CLOCK_MONOTONIC: those not looked at by then are left out
    struct Member {
        std::int32_t pid = 0;
        std::uint32_t reserved = 0;
        std::uint64_t start_time = 0;
    } members[memory_members];
};

struct MemoryAnswer {
    std::uint64_t id = 0;
    std::uint64_t bytes[memory_members] = {};
};

// The third: pages of a process to other nodes, a slice of them at a time.
inline constexpr std::uint32_t memory_nodes = 1024;  // MAX_NUMNODES of every kernel so far
inline constexpr std::uint32_t memory_node_words = memory_nodes / 64;
inline constexpr std::uint64_t all_pages = ~std::uint64_t{0};  // an address behind all others

struct MoveRequest {
    std::uint64_t id = 0;
    std::int32_t pid = 0;
    std::uint32_t reserved = 0;
    std::uint64_t start_time = 0;
    std::uint64_t address = 0;   // where to go on
    std::uint64_t until_ns = 0;  // CLOCK_MONOTONIC: no page is begun after that
    std::uint64_t from[memory_node_words] = {};
    std::uint64_t to[memory_node_words] = {};
};

struct MoveAnswer {
    std::uint64_t id = 0;
    std::int32_t error = 0;
    std::uint32_t reserved = 0;
    std::uint64_t address = 0;  // so far it came; all_pages = it is through
    std::uint64_t moved = 0;    // pages
    std::uint64_t shared = 0;   // with other processes, and not moved for want of CAP_SYS_NICE
    std::uint64_t left = 0;     // not moved for other reasons
};

}  // namespace gpcsup::wire
