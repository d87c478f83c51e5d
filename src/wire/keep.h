#pragma once
// The channel between gpc-init and its helpers (gpcsupd, gpc-enforce, gpc-logd): one SOCK_SEQPACKET
// socketpair for each helper, made by gpc-init before it starts the helper and inherited as the descriptor
// named in GPCSUP_KEEPER. gpc-init keeps descriptors for helpers under a KeepKey, hands them out again to a
// helper's successor, and forwards each newly kept descriptor to the helpers whose class mask covers it.
// Layout only: no logic, no system call.
//
// When a helper starts, it receives: one `deliver` message (with one descriptor, SCM_RIGHTS) for every kept
// object of its classes, then `delivered`. From then on each later keep or drop of those classes reaches it
// as it happens. A helper whose socket is full is marked and gets the whole set once more (`deliver` of a
// known key replaces the older descriptor; what a whole set does not contain has been dropped meanwhile).
// Nothing is echoed to the helper that kept or dropped it.

#include <cstdint>

namespace gpcsup::wire {

inline constexpr std::uint32_t keep_version = 1;
inline constexpr char keeper_variable[] = "GPCSUP_KEEPER";  // environment: number of the inherited socket

enum class KeepClass : std::uint32_t {
    exit_ring,          // memfd, ExitRing; made by gpc-init; id 0
    start_slots,        // memfd, StartSlots; made by gpcsupd; id 0
    enforcement_table,  // memfd, EnforcementTable; made by gpcsupd; id 0
    process_table,      // memfd of gpcsupd's room processes; id 0
    journal,            // memfd; id 0
    control_socket,     // listening socket RUNTIME/control; id 0
    notify_socket,      // datagram socket RUNTIME/notify; id 0
    connector,          // netlink process connector; id 0
    taskstats,          // generic netlink taskstats; id 0
    log_pipe,           // read end of a unit's output pipe; id = the unit's number, name = the unit's name
    log_writer,  // write end of the same pipe (the service's stdout and stderr); id = the unit's number
    listener,    // seccomp listener; id = its key, the journal sequence of the start intent
    supervisor_wakeup,  // eventfd: gpc-enforce has parked something for gpcsupd; made by gpc-init; id 0
    enforce_wakeup,     // eventfd: gpcsupd has answered something parked; made by gpc-init; id 0
    handover,           // SOCK_SEQPACKET end on which gpc-exec reaches gpc-init; made by gpc-init; id 0
    count_
};

// Which classes each helper is sent.
constexpr std::uint64_t class_bit(KeepClass keep_class) {
    return std::uint64_t{1} << static_cast<unsigned>(keep_class);
}
inline constexpr std::uint64_t supervisor_classes =
    ~(class_bit(KeepClass::log_pipe) | class_bit(KeepClass::listener));
inline constexpr std::uint64_t enforce_classes =
    class_bit(KeepClass::enforcement_table) | class_bit(KeepClass::listener) |
    class_bit(KeepClass::supervisor_wakeup) | class_bit(KeepClass::enforce_wakeup);
inline constexpr std::uint64_t log_classes = class_bit(KeepClass::log_pipe);

enum class KeepVerb : std::uint32_t {
    // gpc-init → helper
    deliver,    // one descriptor attached: here is (key). argument = number of the set it belongs to, 0 = a
                // later change
    delivered,  // the set is complete; argument = its number, key.id = what this gpc-init can do (init_…)
    dropped,    // (key) is kept no longer: close it. Also the answer to a `keep` that was refused (table or
                // descriptors full): argument = that of the `keep`
    ping,    // answer with pong. Only gpcsupd is pinged (one every 20 s: the heartbeat; every 5 s after one
             // unanswered)
    signal,  // argument = a signal gpc-init received that the supervisor decides about (SIGTERM, SIGINT,
             // SIGPWR, SIGHUP…)
    exited,  // the exit ring has new records (at most one such message is outstanding: cleared by `drained`)
    // helper → gpc-init
    keep,   // one descriptor attached: keep it under (key); replaces an older one of the same key.
            // argument = 0, or a number of the helper's own: then `kept` or `dropped` is answered, with it
    drop,   // forget (key). A log_pipe is kept until gpc-logd, told `dropped`, has emptied it and drops it as
            // well
    pong,   // answer to ping
    ready,  // the helper has replayed and serves; resets its restart backoff
    drained,  // the exit ring has been folded: send `exited` again for the next record
    stop,     // argument = StopHow; final step, only from gpcsupd, when every service is gone
    reexec,   // replace gpc-init by a fresh image of itself, keeping everything
    kept,     // gpc-init → helper: the answer to a `keep` with an argument, when it is done
    helper,   // argument = a HelperKind to start now (logd, enforce); they are started on demand and kept
              // running
};

enum class StopHow : std::uint64_t {
    exit,
    poweroff,
    reboot,
    halt
};  // `exit`: not PID 1; exit status in the upper 32 bits

enum class HelperKind : std::uint64_t { supervisor, enforce, logd };

// What a gpc-init can do that an older one of the same version of the protocol cannot: bits of `delivered`,
// since gpcsupd may be the younger one until gpc-init is executed again.
inline constexpr std::uint64_t init_answers_keep = 1;
inline constexpr std::uint64_t init_abilities = init_answers_keep;

struct KeepKey {
    KeepClass keep_class = KeepClass::count_;
    std::uint32_t reserved = 0;
    std::uint64_t id = 0;
};

// What still waits for gpc-logd makes place for a successor of the same key under an id of gpc-init's own:
// this bit, and a number that only rises.
constexpr std::uint64_t private_ids = std::uint64_t{1} << 63;

// Of the pipes of one log the one with the lower value is the older: only the youngest has a unit's number.
constexpr std::uint64_t age_of(std::uint64_t id) {
    return id ^ private_ids;
}

struct KeepMessage {
    std::uint32_t version = keep_version;
    KeepVerb verb = KeepVerb::deliver;
    KeepKey key;
    std::uint64_t argument = 0;
    char name[64] =
        {};  // for people: shown in gpc-init's own diagnostics, and the log file's base name for log_pipe
};

// What gpc-exec sends on the handover socket, with two descriptors attached: the seccomp listener, then one
// end of a socketpair of its own. gpc-init keeps and forwards the listener, writes one byte to that end and
// closes it; only then does gpc-exec call execve.
struct HandoverMessage {
    std::uint32_t version = keep_version;
    std::uint32_t reserved = 0;
    std::uint64_t listener_key = 0;
};

// Environment that gpc-init gives gpcsupd: where things are. Everything else is in configuration files.
inline constexpr char runtime_variable[] =
    "GPCSUP_RUNTIME";  // runtime directory, exists and is locked by gpc-init
inline constexpr char config_variable[] = "GPCSUP_CONFIG";  // --config FILE, or unset
inline constexpr char units_variable[] = "GPCSUP_UNITS";    // --units DIR, joined by ':', or unset
inline constexpr char generation_variable[] =
    "GPCSUP_GENERATION";                                // how often this helper has been started, from 1
inline constexpr char logs_variable[] = "GPCSUP_LOGS";  // log directory (for gpc-logd)

}  // namespace gpcsup::wire
