#pragma once
// Where the kernel itself writes the pid of a child, before the child runs: clone3 with CLONE_PARENT_SETTID
// and parent_tid = &slot.pid. gpcsupd journals its intent with the slot's number first, so a supervisor
// killed at any instant leaves either slot.pid == 0 (nothing was started) or the pid of what was. gpc-exec
// reports the step that failed here before it exits; that it got through is seen by the close-on-exec end of
// the status pipe.

#include <atomic>
#include <cstdint>

namespace gpcsup::wire {

inline constexpr std::uint32_t start_slots_version = 1;
inline constexpr std::uint32_t start_slot_count = 1024;

// Every step of gpc-exec that can fail, in the order in which it takes them. Shown to the user as (step,
// errno).
enum class ExecStep : std::uint32_t {
    none,
    plan,       // the plan could not be read or is of another version
    streams,    // stdin, stdout, stderr
    terminal,   // setsid, controlling terminal
    limits,     // setrlimit
    priority,   // nice, scheduling
    affinity,   // sched_setaffinity
    memory,     // set_mempolicy
    directory,  // chdir
    names,      // user or group unknown
    filter,     // seccomp
    handover,   // the listener could not be given to gpc-init
    groups,     // setgroups, setgid
    user,       // setuid
    parent,     // gpc-init has gone meanwhile
    execute,    // execve
    count_
};

struct StartSlot {
    std::atomic<std::uint64_t> intent;  // journal sequence of the intent that owns the slot; 0 = free
    std::int32_t pid;                   // written by the kernel; cleared before the clone
    std::atomic<std::uint32_t> step;    // ExecStep that failed; none = not (yet) failed
    std::atomic<std::int32_t> error;    // errno of that step, stored before `step`
    // Hundredths of a second of CLOCK_MONOTONIC (wraps) when the slot was taken; 0 = not known. A process, or
    // an exit, that is older is not of this start, whatever its number. (start_time counts the same steps.)
    std::atomic<std::uint32_t> taken;
};

struct StartSlots {
    std::uint32_t version;
    std::uint32_t count;
    StartSlot slots[start_slot_count];
};

inline constexpr int exec_failed_status =
    127;  // gpc-exec's exit status when a step failed; the slot says which

}  // namespace gpcsup::wire
