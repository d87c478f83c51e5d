#pragma once
// The two netlink sockets that report on processes: the process connector (fork, exec, exit of every process
// of the machine) and taskstats (figures of every thread that ends). Opening, probing, and taking messages
// off them; what a message means for a process is known to room processes.

#include <sys/types.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>

#include "base/fd.h"
#include "base/result.h"

namespace gpcsup::sys {

// An open connector that has been acknowledged by the kernel: nothing else proves that events will come (a
// nested pid or user namespace takes the request and stays silent). EPERM: not for this user on this kernel;
// ETIMEDOUT: silence.
base::Result<base::Fd> open_connector(std::chrono::milliseconds patience = std::chrono::milliseconds(200));
// Registered for all CPUs. EPERM without CAP_NET_ADMIN, EINVAL in a nested pid namespace.
base::Result<base::Fd> open_taskstats();

enum class TakeEnd : std::uint8_t {
    more,   // the budget is used up; there may be more
    empty,  // the queue is empty now
};
struct Taken {
    TakeEnd end = TakeEnd::empty;
    std::size_t messages = 0;
    std::size_t overruns = 0;  // ENOBUFS: the kernel dropped messages since the queue was last empty
};
// Hands over at most `budget` datagrams that the kernel sent (others are ignored), without waiting.
base::Result<Taken> take_messages(int socket, std::size_t budget,
                                  const std::function<void(std::span<const std::byte>)>& message);

enum class ConnectorKind : std::uint8_t { fork, exec, user, group, session, exit, acknowledgement, other };

struct ConnectorMessage {
    ConnectorKind kind = ConnectorKind::other;
    std::uint32_t cpu = 0;
    std::uint32_t sequence = 0;  // counts up for each cpu
    std::uint32_t acknowledged = 0;
    std::uint64_t timestamp_ns = 0;
    pid_t thread = 0;         // fork: the new one
    pid_t process = 0;        // its thread group; fork: the new one's
    pid_t parent = 0;         // fork: the real parent's thread group
    pid_t parent_thread = 0;  // fork of a process: the thread that forked (with CLONE_PARENT: the parent's)
    std::uint32_t value = 0;  // user, group: the effective id; exit: wait status; acknowledgement: errno
};
std::optional<ConnectorMessage> parse_connector(std::span<const std::byte> datagram);

struct TaskRecord {
    pid_t thread = 0;
    std::uint64_t run_ns = 0;   // time on the CPU, without its last few microseconds: never above the truth
    std::uint64_t tick_ns = 0;  // user + system as sampled by ticks: unbiased, but may be above the truth
};
std::optional<TaskRecord> parse_taskstats(std::span<const std::byte> datagram);

}  // namespace gpcsup::sys
