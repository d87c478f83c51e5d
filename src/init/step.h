#pragma once
// One step of a shutdown, in a child, because a step on a dead disk may never return. Where no child can be
// made (no memory, no numbers) the step is done here all the same: to leave it out loses data for certain.

#include <sys/types.h>
#include <unistd.h>

#include "init/clock.h"
#include "init/proc.h"

namespace gpcsup::init {

// Waits for children (SIGCHLD is blocked) and reaps them until PID has gone (0: until there is none) or
// DEADLINE.
Emptied reap_until(pid_t pid, Nanoseconds deadline);

// fork(2), tried again for a second: whoever was killed a moment ago may still hold what it needs.
pid_t fork_patiently();
// Of a child: it is killed and given up after PATIENCE.
void await_step(const char* what, pid_t pid, Nanoseconds patience);

enum class Begun { yes, no };  // no: there is no child to be had

template <class Step>
Begun run_apart(const char* what, Nanoseconds patience, Step step) {
    const pid_t pid = fork_patiently();
    if (pid == 0) {
        step();
        _exit(0);
    }
    if (pid > 0) {
        await_step(what, pid, patience);
    }
    return pid > 0 ? Begun::yes : Begun::no;
}

void say_not_apart(const char* what);

template <class Step>
void run_step(const char* what, Nanoseconds patience, Step step) {
    if (run_apart(what, patience, step) == Begun::no) {
        say_not_apart(what);
        step();
    }
}

}  // namespace gpcsup::init
