#pragma once
// Zombies to exit records: peek, record, publish, reap, strictly one by one. A full ring leaves zombies where
// they are. The helpers and the emergency shell are gpc-init's own and get no record.

#include <sys/types.h>

#include "init/state.h"
#include "wire/exit_ring.h"

namespace gpcsup::init {

// Makes the ring and keeps it, or finds the one that is kept. nullptr: said why.
wire::ExitRing* map_exit_ring(State& state);

// The kept ring, read without changing it: one of another layout is not to be written to.
enum class Fits { yes, no };
Fits exit_ring_fits(const State& state);

struct OwnDeath {
    pid_t pid = 0;  // 0: none of gpc-init's own children has died
    int code = 0;   // CLD_EXITED, CLD_KILLED, CLD_DUMPED; CLD_STOPPED: it has only been stopped
    int status = 0;
};

// Has this child of gpc-init's own died or been stopped? Reaps it if it died. Looks behind any number of
// other zombies.
OwnDeath check_own(pid_t pid);

enum class Reaped {
    all,    // no zombie is left, except perhaps of gpc-init's own
    again,  // there may be more: the round was long enough
    full,   // the ring is: go on when gpcsupd has drained it
    own,    // the next one is gpc-init's own: check_own() first
};

Reaped reap_strangers(const State& state, wire::ExitRing& ring);

}  // namespace gpcsup::init
