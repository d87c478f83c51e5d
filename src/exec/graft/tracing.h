#pragma once
// ptrace of single threads, with a deadline on every wait. Whatever stops and is not waited for just now is
// let go on at once, and when we end the kernel lets go on whoever is left.

#include <chrono>

#include <sys/types.h>
#include <sys/user.h>

#include "exec/graft/choice.h"

namespace gpcsup::exec {

using Moment = std::chrono::steady_clock::time_point;

enum class Stop {
    interrupted,  // by us, or with its process (SIGSTOP)
    call,         // before or behind a system call
    signal,       // about to be delivered
    exiting,      // its descriptors are there still; until it is released, an execve that ends it waits
    ended,
    late,  // not in time: it is waited for no more, and released when it does stop
};

struct Stopping {
    Stop stop = Stop::late;
    int signal = 0;
};

void prepare_waiting();  // once: SIGCHLD only wakes us up

int seize(pid_t thread);  // an errno; 0 also when it is ours already
void interrupt(pid_t thread);
Stopping wait_for(pid_t thread, Moment until);
void pause_until(Moment until);  // releases whoever stops meanwhile

// Of a stopped thread.
bool read_registers(pid_t thread, user_regs_struct& registers);
bool write_registers(pid_t thread, const user_regs_struct& registers);
bool peek(pid_t thread, std::uint64_t address, std::uint64_t& word);
bool poke(pid_t thread, std::uint64_t address, std::uint64_t word);
bool run_to_call(pid_t thread);  // to the next stop of any kind, calls among them
bool go_on(pid_t thread);
void release(pid_t thread, int signal);

[[nodiscard]] Stopped stopped_of(const user_regs_struct& registers);

// Whether it is within a sequence that must not be left and entered again (rseq(2)).
enum class Sequence { inside, outside };
Sequence sequence_of(pid_t thread, std::uint64_t rip);

}  // namespace gpcsup::exec
