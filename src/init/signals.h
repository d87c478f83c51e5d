#pragma once
// Which signals gpc-init takes, and how: everything but the fatal ones is blocked and read from a signalfd; a
// fatal one replaces gpc-init by a fresh image of itself that goes on where it was.

#include <cstdint>

#include "init/state.h"

namespace gpcsup::init {

// Sets the mask, the dispositions and the handlers; returns the signalfd, or -1 (said).
int take_signals(State& state);

// In a child on its way to another program: it starts with every signal as if nobody had ever touched it,
// also when gpc-init itself was started with some of them ignored (nohup).
void restore_signals();

struct SignalNews {
    bool child = false;           // some child has died or was stopped
    bool insisted = false;        // Ctrl-Alt-Del (SIGINT) seven times within two seconds
    std::uint64_t decisions = 0;  // bit = a signal that gpcsupd decides about
};

SignalNews read_signals(int descriptor);

// Were there three fatal signals within ten seconds? Then another try is no use.
enum class Strikes { few, out };
Strikes count_strikes(const State& state);

}  // namespace gpcsup::init
