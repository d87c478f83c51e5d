#pragma once
// What misbehave counts for its judges: one page in a file that both map (--count-file). The file outlives
// every process that writes to it, so a test reads the truth from here and not from a daemon that may be
// dead. Layout only.

#include <atomic>
#include <cstdint>

namespace gpcsup::support {

inline constexpr std::uint32_t counts_magic = 0x544e4350;

struct Counts {
    std::uint32_t magic;
    std::atomic<std::int32_t> pid;     // of the process that goes on as the daemon
    std::atomic<std::uint64_t> forks;  // fork, vfork, clone… that succeeded
    std::atomic<std::uint64_t> forks_refused;
    std::atomic<std::int32_t> fork_errno;   // of the last refusal
    std::atomic<std::int32_t> other_errno;  // of the last refusal that was not EAGAIN; 0 = there was none
    std::atomic<std::uint64_t> alive;       // children of a fork bomb that live now
    std::atomic<std::uint64_t> most_alive;
    std::atomic<std::uint64_t> files;  // opens that succeeded
    std::atomic<std::uint64_t> files_refused;
    std::atomic<std::int32_t> file_errno;
    std::atomic<std::uint64_t> threads;
    std::atomic<std::uint64_t> threads_refused;
    std::atomic<std::uint64_t> terms;          // SIGTERMs received
    std::atomic<std::uint64_t> bytes_written;  // by --chatty
    std::atomic<std::uint64_t>
        rounds;  // of --churn and --fork-rate: shows that the daemon still makes progress
    std::atomic<std::uint64_t> longest_gap_ns;  // between two rounds
};

}  // namespace gpcsup::support
