#pragma once
// The helper programs gpcsupd, gpc-enforce and gpc-logd: started, watched, replaced. What is said to them is
// in protocol.h.

#include "init/reaper.h"
#include "init/state.h"

namespace gpcsup::init {

inline constexpr std::uint32_t most_failures = 5;  // of gpcsupd in a row, before it was ready

const char* program_name(wire::HelperKind kind);

// Wants it running from now on; nothing if it is already.
void want_helper(State& state, wire::HelperKind kind);
// Starts each helper whose time has come.
void start_due(State& state);
// A helper has died: everything it had still sent is read, then its successor is planned (at once, or later
// if it had never been ready).
void bury(State& state, wire::HelperKind kind, const OwnDeath& death);
// It must go: it does not answer, was stopped, or has closed its channel.
void kill_helper(State& state, wire::HelperKind kind, const char* reason);
// `reexec`: gpcsupd ends by itself; the others are marked, and replaced one by one when the new image of
// gpc-init is there to start their successors at once. So trapped calls wait no longer than after a kill.
void mark_outdated(State& state);
void replace_outdated(State& state);
// Kills each helper that lives on without its channel.
void end_silent(State& state);
// The heartbeat: asks gpcsupd whether it lives, and kills it when it has not answered twice.
void beat(State& state);
// Has gpcsupd failed so often that somebody has to look?
enum class Hope { yes, none };
Hope hope_for_supervisor(const State& state);
// When something of the above is due next.
Nanoseconds next_due(const State& state);

}  // namespace gpcsup::init
