#pragma once
// Both directions of wire/keep.h with every helper, and the handover socket of gpc-exec. Nothing here waits:
// a helper that does not read is owed what it has missed.

#include "init/state.h"
#include "wire/exit_ring.h"

namespace gpcsup::init {

// What a helper asked for that is not done on the spot. (The wish to stop is in State.)
struct Wishes {
    bool drained = false;  // the exit ring has room again
    bool reexec = false;
};

// Descriptors that gpc-init itself makes for its helpers: the wakeup eventfds, the handover socketpair.
enum class Prepared { yes, no };
Prepared prepare_kept(State& state);

// A bounded number of messages of one helper.
void listen_to(State& state, wire::HelperKind kind, Wishes& wishes);
// Everything a dead helper had still sent: what it asked to be kept is kept. Its wishes die with it.
void read_last_words(State& state, wire::HelperKind kind);
void listen_to_handover(State& state);

// Does this helper have something to hear?
enum class Owing { nothing, something };
Owing owing(const State& state, wire::HelperKind kind, const wire::ExitRing& ring);
// Tells it as much as its socket takes.
void tell(State& state, wire::HelperKind kind, const wire::ExitRing& ring);

}  // namespace gpcsup::init
