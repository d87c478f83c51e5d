#pragma once
// Everything gpc-exec does between clone3 and execve, ready to be done: one blob in a memfd whose number is
// gpc-exec's only argument. Strings and arrays lie behind the header at the offsets it names, counted from
// the blob's first byte; offset 0 = absent. gpcsupd writes it (room launch), gpc-exec maps it read-only;
// layout only.

#include <cstdint>

namespace gpcsup::wire {

inline constexpr std::uint32_t launch_plan_version = 1;
inline constexpr std::uint32_t launch_plan_magic = 0x4e4c5047;  // "GPLN"

struct PlanSpan {              // an array: `count` elements at `offset`
    std::uint32_t offset = 0;  // strings: `count` NUL-terminated strings, one behind the other
    std::uint32_t count = 0;
};

struct PlanLimit {  // one setrlimit(2)
    std::uint32_t resource;
    std::uint32_t reserved;
    std::uint64_t soft;
    std::uint64_t hard;
};

inline constexpr std::uint32_t no_id = 0xffffffff;  // uid or gid: leave as it is

enum PlanFlag : std::uint32_t {
    plan_terminal = 1u << 0,  // stdin is a terminal: make it the controlling terminal of the new session
    plan_no_new_privileges = 1u << 1,  // always set when the filter is installed without CAP_SYS_ADMIN
    plan_keep_session = 1u << 2,  // do not call setsid (used by nobody but tests and `run` of a shell job)
};

struct LaunchPlan {
    std::uint32_t magic = launch_plan_magic;
    std::uint32_t version = launch_plan_version;
    std::uint32_t size = 0;  // of the whole blob
    std::uint32_t flags = 0;
    std::uint32_t slot = 0;      // index into StartSlots
    std::int32_t slots_fd = -1;  // memfd of StartSlots
    std::int32_t status_fd =
        -1;  // write end of the status pipe; gpc-exec makes it close-on-exec and writes nothing
    std::int32_t handover_fd = -1;  // to gpc-init; only with a filter
    std::int32_t stdin_fd = -1;     // -1 = /dev/null
    std::int32_t stdout_fd = -1;
    std::int32_t stderr_fd = -1;
    std::int32_t init_pid = 0;  // getppid() must be this after PDEATHSIG is set, else step `parent`
    std::uint32_t uid =
        no_id;  // numeric ids win; else the names below are looked up in /etc/passwd and /etc/group,
    std::uint32_t gid = no_id;  // then by the program `names_helper` (dynamic, may ask NSS)
    std::uint32_t umask = no_id;
    std::int32_t nice = 0;
    PlanSpan user_name;      // one string
    PlanSpan group_name;     // one string
    PlanSpan supplementary;  // std::uint32_t gids; absent = those of the user's name (initgroups)
    PlanSpan names_helper;   // one string: path
    PlanSpan executable;     // one string: absolute path
    PlanSpan arguments;      // strings: argv[0]…
    PlanSpan environment;  // strings: NAME=VALUE; HOME, USER, LOGNAME, SHELL are added when a user is set and
                           // they are absent
    PlanSpan directory;    // one string
    PlanSpan limits;       // PlanLimit
    PlanSpan affinity;     // std::uint64_t words for sched_setaffinity
    PlanSpan memory_nodes;          // std::uint64_t words for set_mempolicy
    std::uint32_t memory_mode = 0;  // MPOL_…
    PlanSpan filter;                // struct sock_filter (8 bytes each)
    PlanSpan passed_fds;            // std::int32_t: become 3, 4, … (socket activation: LISTEN_FDS is in the
                                    // environment, LISTEN_PID is set by gpc-exec)
    std::uint64_t listener_key = 0;
};

}  // namespace gpcsup::wire
