#pragma once
// What gpc-enforce decides from: data that gpcsupd writes and gpc-enforce reads and counts in, in one shared
// memfd. It names no controller: a controller turns its limits into *budgets*, and a filtered start into a
// *domain*. Layout only.
//
// Rules that hold in here (../docs/synchronization.md tells why):
//  - gpc-enforce never waits for anything in here: every shared word is one atomic, a row is published by
//  writing its
//    `key` last (release) and retired by writing `key` = 0 first.
//  - gpc-enforce only adds to `issued` and `failcnt`; gpcsupd only writes `limit`, `parent`, `counted` and
//  `peak`.
//  - bound(budget) = counted.held + (issued − counted.issued_then), in 32-bit wrapping arithmetic. It is
//  never below the
//    truth: gpcsupd reads `issued` first, then counts exactly (with what is still in flight), then publishes
//    both at once.
//  - A notification is received straight into a Pending slot, so that a successor of gpc-enforce finds it and
//  answers it.

#include <linux/seccomp.h>

#include <atomic>
#include <cstdint>

namespace gpcsup::wire {

inline constexpr std::uint32_t enforcement_version = 3;
inline constexpr std::uint32_t budget_count = 4096;
inline constexpr std::uint32_t domain_count = 4096;
inline constexpr std::uint32_t override_count = 4096;
inline constexpr std::uint32_t pending_count = 512;
inline constexpr std::uint32_t flight_count = 4096;
inline constexpr std::uint32_t refusal_count = 256;
inline constexpr std::uint32_t flight_probes = 8;
inline constexpr std::uint32_t override_probes = 16;
// So far up a caller's ancestors are looked at for an Override, itself included. A process that lives long
// enough to be a deeper ancestor has its row by then.
inline constexpr unsigned override_generations = 8;
inline constexpr int enforce_priority = 1;  // SCHED_FIFO; gpc-init, which watches it, runs one above
inline constexpr std::uint32_t no_row = 0xffffffff;
inline constexpr std::uint64_t unlimited = UINT64_MAX;

// What a trapped system call asks for. The filter's own instructions decide which calls reach gpc-enforce;
// the class of a call number is looked up in `EnforcementTable::classes` (native) or `compat_classes` (i386).
enum class TrapClass : std::uint8_t {
    none,      // not trapped: answered with CONTINUE
    task,      // fork, vfork, clone: one more task (a thread if CLONE_THREAD is set, else a process)
    file,      // open…: one more open file
    affinity,  // sched_setaffinity: performed on the caller's behalf by gpcsupd, always parked
    policy,    // set_mempolicy, mbind…: as affinity
    count_
};
inline constexpr unsigned trap_class_count = static_cast<unsigned>(TrapClass::count_);
inline constexpr std::uint8_t makes_two =
    0x80;  // beside a class of EnforcementTable::classes: two files at once
inline constexpr std::uint32_t call_number_count = 512;  // of x86_64; larger numbers are never trapped

// What a budget counts. A row is found again by (key, kind) after a restart of gpcsupd.
enum class BudgetKind : std::uint32_t {
    tasks,      // threads, zombies included until they are reaped
    processes,  // the same without CLONE_THREAD
    files,      // open files
    count_
};

// What costs a part of a rate: what is let in, or whatever was asked for and the rate itself did not refuse.
enum class RateSpends : std::uint32_t { admitted, asked };

struct Budget {                          // one limit on one group
    std::atomic<std::uint32_t> key;      // 0 = free; else the GroupId's number (for diagnostics)
    std::atomic<std::uint32_t> parent;   // row of the nearest ancestor budget of the same kind, or no_row
    std::atomic<std::uint64_t> limit;    // refuse when bound + 1 > limit; `unlimited` = never
    std::atomic<std::uint64_t> counted;  // held << 32 | issued_then, published together
    std::atomic<std::uint32_t> issued;   // reservations ever made here (wraps)
    std::atomic<std::uint32_t> refuse_errno;  // EAGAIN, EMFILE…
    std::atomic<std::uint64_t> failcnt;       // refusals because of this very limit
    std::atomic<std::uint64_t>
        recount_wanted;  // gpc-enforce: monotonic ns of the youngest request parked on this row
    std::atomic<std::uint64_t> recounted;  // gpcsupd: monotonic ns at which the last exact count *began*
    std::atomic<std::uint64_t> refused_in_second;  // second << 32 | refusals: above 100 the answer is delayed
    std::atomic<std::uint32_t> kind;               // BudgetKind
    std::atomic<std::uint32_t> peak;   // gpcsupd, for its successor: the most that it ever saw there
    std::atomic<std::uint32_t> least;  // files: as peak, the least + 1; 0 = nothing was counted yet
    // tasks: so many are kept for it above, used or not. Within them the chain is not followed further up;
    // 0 = none. `counted` of a row above has max(guarantee, count) of the rows below it.
    std::atomic<std::uint32_t> guarantee;
    std::atomic<std::uint64_t> barrier;  // files: what `limit` is for callers without CAP_SYS_ADMIN
    // How many may be let in in a window, which begins with the first one after the last window has ended.
    std::atomic<std::uint64_t> rate_limit;  // `unlimited` = no window
    std::atomic<std::uint64_t> rate_window_ns;
    std::atomic<std::uint64_t> rate_began_ns;  // gpc-enforce; gpcsupd writes 0 with a new rate: no window
    std::atomic<std::uint64_t> rate_used;      // gpc-enforce: let in since then
    std::atomic<std::uint64_t> rate_failcnt;   // gpc-enforce: refusals because of the rate
    std::atomic<std::uint32_t> rate_spends;    // RateSpends
    std::atomic<std::uint32_t> reserved;
};

struct Domain {                      // where a listener's processes are: one budget row a class and a kind
    std::atomic<std::uint64_t> key;  // the listener's key; 0 = free
    std::atomic<std::uint32_t> budget[trap_class_count];  // leaf budget row for each class, or no_row
    std::atomic<std::uint32_t>
        process_budget;                    // second leaf for TrapClass::task without CLONE_THREAD, or no_row
    std::atomic<std::uint32_t> overrides;  // how many Override rows name this domain: 0 = the cheap path
    std::atomic<std::uint32_t>
        closed;  // gpc-enforce: 1 = the listener hung up, nobody is trapped by it any more
    std::atomic<std::uint32_t> listened;  // gpc-enforce: 1 = it has, or had, the listener. 0: nobody was ever
                                          // trapped, or it is on its way
};

// A process of a domain that is in other groups than what it would count as without: as its nearest ancestor
// with a row, else as its domain. So a move may make rows for descendants that stay behind, and the end of a
// process with a row for its children. Index = tgid % override_count, linear probing over 16.
struct Override {
    std::atomic<std::uint32_t> pid;  // tgid; 0 = free
    std::atomic<std::uint32_t> reserved;
    std::atomic<std::uint64_t> domain_key;  // the domain whose listener it is trapped by
    std::atomic<std::uint32_t> budget[trap_class_count];
    std::atomic<std::uint32_t> process_budget;
};

enum class PendingState : std::uint32_t {
    free,
    receiving,  // taken by gpc-enforce; RECV writes into `notification`; its id is 0 until the kernel has
    deciding,   // received; gpc-enforce decides
    parked,     // waits for gpcsupd: a recount (class task, file) or a call on behalf (affinity, policy)
    answered,   // gpcsupd has put a verdict; gpc-enforce sends it
    delayed,    // a refusal that is sent at `due_ns`
};

struct Pending {
    std::atomic<std::uint32_t> state;     // PendingState
    std::atomic<std::uint32_t> attempts;  // looks taken at a full budget
    std::atomic<std::uint64_t> domain_key;
    std::atomic<std::uint64_t> since_ns;  // CLOCK_MONOTONIC at RECV
    std::atomic<std::uint64_t> due_ns;    // delayed: when to answer; parked: when the last look is over
    std::atomic<std::uint32_t> full_row;  // the budget that said full
    std::atomic<std::uint32_t> trap_class;
    std::atomic<std::int32_t> error;     // verdict: errno to return (positive), or 0
    std::atomic<std::uint32_t> proceed;  // verdict: 1 = CONTINUE, 0 = return `value` or -error
    std::atomic<std::int64_t> value;
    std::atomic<std::uint64_t>
        answered_id;  // verdict: the notification it is for, should the slot be another's by now
    seccomp_notif notification;
};

// A fork, or an open, that was let go on and whose child or file may not be visible yet. One a thread: a
// second notification of a thread replaces its entry. Index = tid % flight_count, linear probing over 8.
inline constexpr std::uint32_t flight_waits_for_child =
    1u << 31;  // vfork: the parent sleeps in the call till the child execs
inline constexpr std::uint32_t flight_makes_two = 1u << 30;           // a pair of files
inline constexpr std::uint32_t flight_number = flight_makes_two - 1;  // the rest of Flight::call
struct Flight {
    std::atomic<std::uint32_t> tid;  // 0 = free
    std::atomic<std::uint32_t> row;  // the leaf budget of kind tasks, or no_row
    std::atomic<std::uint32_t>
        process_row;  // the leaf budget of kind processes, or no_row (always for a thread)
    std::atomic<std::uint32_t> file_row;  // the leaf budget of kind files, or no_row
    std::atomic<std::uint32_t> reserved;
    std::atomic<std::uint32_t> call;  // its number, as /proc/TID/syscall shows it, with the flags above
    std::atomic<std::uint64_t> continued_ns;  // CLOCK_MONOTONIC just before SEND
    // gpcsupd: a moment at which the thread was seen out of its call, or the kernel's timestamp of its fork
    // event. The entry is settled when this is not before continued_ns; only gpc-enforce ever reuses an
    // entry.
    std::atomic<std::uint64_t> resolved_ns;
};

enum class RefusalCause : std::uint32_t { limit, rate };

struct Refusal {  // who was refused, for the journal and `gpcsup events`; a ring, the oldest is overwritten
    std::atomic<std::uint64_t> sequence;  // written last; index = sequence % refusal_count; starts at 1
    std::uint64_t monotonic_ns;
    std::uint32_t tid;
    std::uint32_t row;
    std::uint32_t key;    // Budget::key then
    std::int32_t call;    // system call number
    std::uint32_t cause;  // RefusalCause
    std::uint32_t reserved;
};

struct EnforcementTable {
    std::uint32_t version;
    std::uint32_t reserved;
    std::atomic<std::uint64_t> refusals;     // last sequence in `refusal`
    std::atomic<std::uint64_t> received;     // notifications ever received, for bench and status
    std::atomic<std::uint32_t> scheduling;   // gpc-enforce: 1 = SCHED_FIFO, 0 = ordinary
    std::atomic<std::uint32_t> sync_wakeup;  // gpc-enforce: 1 = SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP works
    std::atomic<std::uint32_t> domain_end;   // gpcsupd: no row of `domains` at or behind this was ever used
    std::atomic<std::uint32_t> tells_listened;  // gpc-enforce: 1 = it keeps Domain::listened
    std::atomic<std::uint64_t> flights_wanted;  // gpc-enforce: monotonic ns at which no Flight entry was free
    std::atomic<std::uint64_t>
        flights_resolved;                     // gpcsupd: monotonic ns at which it began to settle them all
    std::uint8_t classes[call_number_count];  // TrapClass by x86_64 call number
    std::uint8_t compat_classes[call_number_count];  // TrapClass by i386 call number
    Budget budgets[budget_count];
    Domain domains[domain_count];
    Override overrides[override_count];
    Pending pending[pending_count];
    Flight flights[flight_count];
    Refusal refusal[refusal_count];
};

}  // namespace gpcsup::wire
