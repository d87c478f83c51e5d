#pragma once
// sd_notify datagrams: a parser that does nothing else, and the receiver. A message is looked at first and
// consumed later, so that a supervisor killed between the two finds it again. Who may say what is decided
// elsewhere, by the sender's group.

#include <sys/types.h>

#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/fd.h"
#include "base/result.h"

namespace gpcsup::launch {

enum class WatchdogWord { ping, trigger };  // WATCHDOG=1, WATCHDOG=trigger

struct NotifyMessage {
    bool ready = false;
    bool reloading = false;
    bool stopping = false;
    bool barrier = false;  // answered by closing the one descriptor that came with it
    bool fd_store = false;
    bool fd_store_remove = false;
    std::optional<std::string> status;  // STATUS: one line for people, control characters replaced
    std::optional<int> error;           // ERRNO
    std::optional<pid_t> main_pid;      // MAINPID
    std::optional<std::chrono::microseconds> monotonic;        // MONOTONIC_USEC, with RELOADING
    std::optional<std::chrono::microseconds> extend_timeout;   // EXTEND_TIMEOUT_USEC
    std::optional<std::chrono::microseconds> watchdog_period;  // WATCHDOG_USEC
    std::optional<WatchdogWord> watchdog;
    std::optional<std::string> fd_name;  // FDNAME
    std::vector<std::string> unknown;    // names of assignments that mean nothing here
};

// Unknown or malformed lines are skipped (and named in `unknown`): a daemon may say more than we understand.
NotifyMessage parse_notify(std::string_view text);

// One datagram, seen but still in the socket's queue.
struct ReceivedNotify {
    pid_t pid = 0;  // of the sender, by SCM_CREDENTIALS
    uid_t uid = 0;
    base::Fd pidfd;  // by SCM_PIDFD (Linux 6.5), else none
    std::string text;
    std::vector<base::Fd> descriptors;
    enum class Completeness { whole, truncated } completeness = Completeness::whole;
};

// Makes the socket deliver credentials (and pidfds where the kernel has them). Once, when the socket is made.
base::Result<> prepare_notify_socket(int descriptor);

// Looks at the next datagram. EAGAIN when there is none. Passed descriptors are duplicated by the kernel:
// dropping both this message and the queued one (consume_notify) is what answers BARRIER=1.
base::Result<ReceivedNotify> peek_notify(int descriptor);

// Takes the datagram out of the queue that peek_notify showed.
base::Result<> consume_notify(int descriptor);

}  // namespace gpcsup::launch
