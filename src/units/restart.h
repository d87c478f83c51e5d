#pragma once
// How a service ended, and whether that makes it start again: one table, and the arithmetic of the pauses.
// Pure.

#include <cstdint>
#include <string>

#include "units/declaration.h"

namespace gpcsup::units {

enum class ExitKind : std::uint8_t {
    exited,
    killed,
    dumped,
    unknown
};  // unknown: gone, and nobody can tell how

struct ExitStatus {
    ExitKind kind = ExitKind::unknown;
    int number = 0;  // exit status or signal number

    bool operator==(const ExitStatus&) const = default;
};

// "exit 3", "signal SEGV", "signal SEGV, core dumped", "vanished: nobody saw how it ended".
[[nodiscard]] std::string describe(ExitStatus status);

enum class Ending : std::uint8_t {
    clean,         // exit 0, or TERM, INT, HUP, PIPE to a service that was active
    code,          // another exit status; also exit 0 of a notify service that was never ready
    signal,        // another signal
    timeout,       // not started in time
    vanished,      // all its processes are gone, nobody saw how
    unexecutable,  // gpc-exec could not get as far as execve
};

// Signals that people send to end a service count as its own decision only while it is not a oneshot.
[[nodiscard]] Ending classify(ExitStatus status, ServiceType type);

enum class Retry { no, yes };
[[nodiscard]] Retry decide(RestartPolicy policy, Ending ending);

// What follows a pause: twice as long, up to the limit.
[[nodiscard]] base::Duration following_delay(base::Duration delay, const Declaration& declaration);

}  // namespace gpcsup::units
