#include "units/restart.h"

#include <algorithm>
#include <array>
#include <csignal>

#include "units/names.h"

namespace gpcsup::units {

namespace {

constexpr Retry n = Retry::no;
constexpr Retry y = Retry::yes;

// Rows: Ending. Columns: no, on-failure, on-abnormal, always. What is done by hand never restarts anything.
constexpr std::array<std::array<Retry, 4>, 6> policy_table = {{
    {n, n, n, y},  // clean
    {n, y, n, y},  // code
    {n, y, y, y},  // signal
    {n, y, y, y},  // timeout
    {n, y, y, y},  // vanished
    {n, y, n, y},  // unexecutable
}};

}  // namespace

std::string describe(ExitStatus status) {
    switch (status.kind) {
        case ExitKind::exited:
            return "exit " + std::to_string(status.number);
        case ExitKind::killed:
            return "signal " + signal_name(status.number);
        case ExitKind::dumped:
            return "signal " + signal_name(status.number) + ", core dumped";
        case ExitKind::unknown:
            break;
    }
    return "vanished: nobody saw how it ended";
}

Ending classify(ExitStatus status, ServiceType type) {
    constexpr std::array polite = {SIGTERM, SIGINT, SIGHUP, SIGPIPE};
    switch (status.kind) {
        case ExitKind::exited:
            return status.number == 0 ? Ending::clean : Ending::code;
        case ExitKind::killed:
            if (type != ServiceType::oneshot && std::ranges::find(polite, status.number) != polite.end()) {
                return Ending::clean;
            }
            return Ending::signal;
        case ExitKind::dumped:
            return Ending::signal;
        case ExitKind::unknown:
            break;
    }
    return Ending::vanished;
}

Retry decide(RestartPolicy policy, Ending ending) {
    return policy_table[static_cast<std::size_t>(ending)][static_cast<std::size_t>(policy)];
}

base::Duration following_delay(base::Duration delay, const Declaration& declaration) {
    if (delay >= declaration.restart_delay_max / 2) {  // also keeps the doubling from overflowing
        return std::max(declaration.restart_delay, declaration.restart_delay_max);
    }
    return std::max(declaration.restart_delay, delay * 2);
}

}  // namespace gpcsup::units
