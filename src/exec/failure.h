#pragma once
// How a failed step becomes known: errno, then step, into the start slot that gpcsupd shares with this
// program.

#include "wire/start_slots.h"

namespace gpcsup::exec {

// Maps the slots and remembers ours. Returns an errno.
int open_slot(int descriptor, unsigned index);

// Reports and exits with exec_failed_status. Before open_slot there is nowhere to report to: only the exit
// status tells.
[[noreturn]] void fail(wire::ExecStep step, int error);

// The usual line of main: go on, or fail.
inline void must(wire::ExecStep step, int error) {
    if (error != 0) {
        fail(step, error);
    }
}

}  // namespace gpcsup::exec
