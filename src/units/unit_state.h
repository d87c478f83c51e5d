#pragma once
// All that changes about a unit, as plain data: what is journalled after every change, and what a successor
// of gpcsupd starts from. Nothing else in the engine needs remembering; the rest follows from the
// declarations.

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/duration.h"
#include "base/process_id.h"
#include "base/result.h"
#include "units/restart.h"
#include "units/state.h"

namespace gpcsup::units {

// CLOCK_MONOTONIC: it goes on when gpcsupd is replaced. The engine never reads a clock, it is told.
using TimePoint = std::chrono::steady_clock::time_point;

enum class Phase : std::uint8_t {
    none,
    waiting,    // starting: for what comes first. stopping: for what must stop first
    launching,  // starting: the process is being made, execve has not succeeded yet
    running,    // starting: execve succeeded, not ready yet
    commanded,  // stopping: stop_command runs
    asked,      // stopping: the main process has been sent the stop signal
    leftovers,  // stopping: the main process is gone, the rest of the group has been sent SIGTERM
    killed,     // stopping: the group has been sent SIGKILL
};

enum class Outcome : std::uint8_t { rest, fail, retry };  // where stopping leads to

enum class Origin : std::uint8_t {
    file,       // declared in a unit file
    transient,  // made by `gpcsup run`: removed when it is over
    leaving,    // its file is gone: removed when it is down
};

struct UnitState {
    std::string name;
    State state = State::inactive;
    Phase phase = Phase::none;
    Outcome outcome = Outcome::rest;
    Origin origin = Origin::file;
    std::string reason;  // "WORD: sentence", or "exit 3", "signal SEGV"; empty when there is nothing to say

    bool wished = false;  // asked for by name (by hand, or `default` at boot)
    bool held =
        false;  // stopped by name, or by a conflict: nobody's wish pulls it in until it is started by name
    bool due = false;         // to be started as soon as what comes first allows it
    bool lost = false;        // it stopped because what it needs went away: it starts again when that returns
    bool restarting = false;  // to be started again when it is down
    bool members = false;     // its group has processes
    bool unconfirmed = false;  // the caller has not said yet that it carried out the last action

    base::ProcessId main;               // pid 0: none
    std::optional<ExitStatus> exit;     // of the last main process
    std::uint64_t intent = 0;           // the caller's number of the start that `main` came from
    std::uint32_t restarts = 0;         // automatic ones since it was last started by name
    std::vector<TimePoint> starts;      // the last ones, as many as start_limit looks at
    base::Duration delay{};             // the pause before the next automatic start; 0 = restart_delay
    TimePoint since{};                  // of the state
    TimePoint active_since{};           // last time it became active
    std::optional<TimePoint> deadline;  // start_timeout, stop_timeout, end of the pause…

    bool operator==(const UnitState&) const = default;
};

// For the journal: versioned, and checked when read (EPROTO: not a state, or of a version this one does not
// read).
[[nodiscard]] std::vector<std::byte> encode(const UnitState& state);
base::Result<UnitState> decode_unit_state(std::span<const std::byte> data);

}  // namespace gpcsup::units
