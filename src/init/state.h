#pragma once
// Everything gpc-init must still know after it has replaced itself: plain data in a memfd that is mapped from
// the first moment on, so a fatal signal at any instant only has to exec. It starts as zero bytes. A new
// image of gpc-init finds it by the environment variable `state_variable`.
//
// Programs of different versions read each other's: what is new is appended to State and means by zero what
// the older program did, nothing that is there moves or grows, and a program leaves alone what it does not
// know. Only if that cannot be, `state_version` is raised. A program that finds a version it does not know
// gives the process back to the program before (`image_variable`), which goes on as if nothing had happened.

#include <sys/resource.h>
#include <sys/types.h>

#include <cstddef>
#include <cstdint>

#include "init/clock.h"
#include "init/keep_table.h"
#include "wire/keep.h"

namespace gpcsup::init {

inline constexpr std::uint32_t state_magic = 0x49435047;  // "GPCI"
#ifndef GPCSUP_STATE_VERSION  // for a test, which builds a program of another version
#define GPCSUP_STATE_VERSION 1
#endif
inline constexpr std::uint32_t state_version = GPCSUP_STATE_VERSION;
inline constexpr char state_variable[] = "GPCSUP_STATE";
inline constexpr char image_variable[] = "GPCSUP_IMAGE";

// What kind of first process this is; decides how it may end.
enum class Role : std::uint32_t {
    subreaper,  // not PID 1
    container,  // PID 1 of a pid namespace: ends with an exit code
    machine,    // PID 1 of the machine: never exits
};

enum class Life : std::uint32_t {
    absent,   // not asked for yet
    waiting,  // to be started at `not_before`
    running,
};

// A message that answers a request and found the socket full. Nothing more is read from the helper until it
// has gone out.
struct PendingAnswer {
    std::uint32_t waiting;
    int reserved;
    wire::KeepMessage message;
};

inline constexpr std::uint32_t in_sync = 0xffffffff;

struct Helper {
    Life life;
    pid_t pid;
    int socket;  // our end, or -1
    std::uint32_t generation;
    std::uint32_t ready;     // it has said `ready` since it was started
    std::uint32_t failures;  // deaths in a row before `ready`
    std::uint32_t cursor;    // next row of the keep table to send, or in_sync
    std::uint32_t full;      // the socket was full: wait for POLLOUT
    Nanoseconds not_before;  // waiting: when to start it; running: when to send again after Sent::denied
    std::uint64_t set;       // number of the whole set that is being or was sent last
    PendingAnswer answer;
    // Only for gpcsupd:
    std::uint64_t owed_signals;  // bit = signal number
    std::uint32_t exited_outstanding;
    std::uint32_t unanswered;  // pings
    std::uint32_t ping_owed;
    // Not for gpcsupd: the image before was asked to replace itself, and this helper is still of its time.
    std::uint32_t outdated;
    Nanoseconds next_ping;
};

// gpcsupd has ended every service and wants the last step done.
struct StopWish {
    std::uint32_t wished;
    std::int32_t status;
    wire::StopHow how;
};

inline constexpr unsigned helper_count = 3;  // by wire::HelperKind

struct State {
    std::uint32_t magic;
    std::uint32_t version;
    std::uint32_t size;  // of the largest program that has had it
    Role role;
    pid_t pid;
    int self;               // the memfd of this State
    int lock;               // RUNTIME/lock
    int handover;           // our end of the handover socketpair
    pid_t shell;            // the emergency shell, or 0
    std::uint32_t minimal;  // 1: only the shell and signals are looked after (three fatal signals in a row)
    std::uint32_t
        lasting_signals;  // asked for by SIGTERM, SIGINT or SIGPWR (bits): told to each successor of gpcsupd
    std::uint32_t fatal_count;
    Nanoseconds fatal_at[3];  // when the last three fatal signals came
    rlimit descriptors;       // as they were found: helpers start with them
    rlimit real_time;
    char executable[1024];
    char runtime[512];
    char config[1024];
    char units[4096];
    char logs[1024];
    Helper helpers[helper_count];
    KeepTable table;
    StopWish stop;
    int image;  // the file of the program that runs, so that its successor can give the process back; or 0
};
// See above: nothing that is there moves.
static_assert(sizeof(Helper) == 184 && offsetof(State, helpers) == 7784 && offsetof(State, table) == 8336 &&
              offsetof(State, stop) == 704664);

Helper& helper_of(State& state, wire::HelperKind kind);

// A new State, or nullptr (said why).
State* create_state();
// The State that an earlier image of this very process left, or nullptr: there is none. If it is of a version
// unknown here, the image before goes on, and this does not return.
State* inherit_state(char** arguments, char** environment);

// What replace_self() needs of the file that runs now. Once, at start.
void hold_image(State& state);
// How to come back: remembers arguments and environment for replace_self(). Once, at start.
void prepare_reexec(const State& state, char** arguments, char** environment);
// Replaces this process by a fresh image of gpc-init, keeping every descriptor of STATE. Returns only when it
// cannot, with the descriptors as they were. Safe in a signal handler.
void replace_self(State& state);

}  // namespace gpcsup::init
