#pragma once
// A source of news about processes, and what the news is. Three sources (the process connector, the sweep of
// /proc, the seccomp fork notification) give the same events to the same sink; which one is at work is a
// strategy. A tracker is not tied to an event loop: the loop watches descriptor(), calls on_readable() and
// lets other work in between; whoever needs an exact answer calls drain() first. Events are in order of
// arrival, never sorted by time.

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <optional>

#include "base/result.h"

namespace gpcsup::processes {

enum class EventKind : std::uint8_t {
    fork,  // `process` is new; `parent` is its real parent as the kernel tells it (see lineage.h: it may lie)
    thread_start,  // `process` has one more thread
    thread_exit,   // one less: `thread`; the last one is the death of the process
    exec,          // one thread is left, whichever called
    session,       // it leads a new session
    identity,      // its user or group changed
    process_exit,  // it is gone, or a zombie (from a sweep: the threads were not seen one by one)
    reparent,      // its parent is now `parent` (from a sweep)
    thread_count,  // it has `count` threads (from a sweep)
    swept,         // a sweep is complete: everything that had ended before it began has been told
    lost,  // events are missing before this point, and the source has been emptied: look at everything
};

struct Event {
    EventKind kind = EventKind::fork;
    pid_t process = 0;
    pid_t thread = 0;
    pid_t parent = 0;
    pid_t parent_thread = 0;  // fork: who called it, where that is known; 0 = unknown
    std::uint32_t count = 0;
    std::uint64_t start_time = 0;  // where the source had to look anyway (a sweep); 0 = look yourself
    // fork: in clock ticks since boot. Whoever has this number by now and began later is another process:
    // this one has gone, and its number was given away before the event was read. 0 = unknown.
    std::uint64_t latest_start = 0;
    std::uint64_t timestamp_ns = 0;  // CLOCK_MONOTONIC, of the kernel; 0 = unknown
    std::uint64_t run_ns =
        0;  // thread_exit: its time on the CPU where taskstats says it, never above the truth
    std::uint64_t tick_ns = 0;  // thread_exit: the same by ticks
    bool operator==(const Event&) const = default;
};

class TrackerSink {
  public:
    virtual ~TrackerSink() = default;
    virtual void handle(const Event& event) = 0;
};

enum class TrackingQuality : std::uint8_t {
    exact,    // every fork and exit is told
    sampled,  // what lives shorter than a sweep is not seen
};
[[nodiscard]] constexpr const char* to_string(TrackingQuality quality) {
    return quality == TrackingQuality::exact ? "exact" : "sampled";
}

enum class Progress : std::uint8_t { more, empty };

class Tracker {
  public:
    virtual ~Tracker() = default;
    [[nodiscard]] virtual TrackingQuality quality() const = 0;
    [[nodiscard]] virtual int descriptor() const = 0;  // readable when there is news
    // Handles about `budget` events at most. `more`: call again soon (the descriptor stays readable).
    virtual base::Result<Progress> on_readable(std::size_t budget) = 0;
    // Handles everything there is. Bounded, for a machine that forks faster than we read.
    virtual base::Result<> drain() = 0;
};

}  // namespace gpcsup::processes
