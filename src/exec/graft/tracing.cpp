#include "exec/graft/tracing.h"

#include <cerrno>
#include <csignal>
#include <cstdint>

#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include "exec/graft/process.h"

// Linux 5.13; not in every libc's headers.
#ifndef PTRACE_GET_RSEQ_CONFIGURATION
#define PTRACE_GET_RSEQ_CONFIGURATION 0x420f
#endif

namespace gpcsup::exec {
namespace {

constexpr int event_stop = 128;  // PTRACE_EVENT_STOP

long trace(unsigned long request, pid_t thread, std::uint64_t address, std::uint64_t data) {
    return ptrace(static_cast<__ptrace_request>(request), thread, reinterpret_cast<void*>(address),
                  reinterpret_cast<void*>(data));
}

Stopping read_stop(int status) {
    if (!WIFSTOPPED(status)) {
        return {Stop::ended, 0};
    }
    if (status >> 16 == event_stop) {
        return {Stop::interrupted, 0};
    }
    if (status >> 16 == PTRACE_EVENT_EXIT) {
        return {Stop::exiting, 0};
    }
    if (WSTOPSIG(status) == (SIGTRAP | 0x80)) {
        return {Stop::call, 0};
    }
    return {Stop::signal, WSTOPSIG(status)};
}

// One that we do not wait for, or no more.
void let_go(pid_t thread, const Stopping& stopping) {
    if (stopping.stop == Stop::ended) {
        return;
    }
    user_regs_struct registers{};
    // Only where the kernel looks at what a call has said: between calls and signals it would be seen as it
    // is.
    if (stopping.stop == Stop::interrupted && read_registers(thread, registers)) {
        const std::int64_t mended_result = mended(stopped_of(registers));
        if (mended_result != static_cast<std::int64_t>(registers.rax)) {
            registers.rax = static_cast<std::uint64_t>(mended_result);
            write_registers(thread, registers);
        }
    }
    release(thread, stopping.signal);
}

sigset_t only_child() {
    sigset_t child;
    sigemptyset(&child);
    sigaddset(&child, SIGCHLD);
    return child;
}

// What was told while a thread was being seized: waiting for the ended alone is not possible, as tracees that
// have stopped are told of all the same.
struct Told {
    pid_t thread;
    int status;
};
constexpr int most_told = 256;
Told told[most_told];
int told_count = 0;

void note_told(int) {
    const int error = errno;
    while (told_count < most_told) {
        int status = 0;
        const pid_t thread = waitpid(-1, &status, __WALL | WNOHANG);
        if (thread <= 0) {
            break;
        }
        if (read_stop(status).stop == Stop::exiting) {
            release(thread, 0);  // an execve may wait for it, and we for the execve
        } else {
            told[told_count++] = {thread, status};
        }
    }
    errno = error;
}

// The next that is told of, in the order in which it was; 0 = nobody just now, -1 = nobody is ours any more.
pid_t next_told(int& status) {
    if (told_count == 0) {
        return waitpid(-1, &status, __WALL | WNOHANG);
    }
    const Told first = told[0];
    --told_count;
    for (int at = 0; at < told_count; ++at) {
        told[at] = told[at + 1];
    }
    status = first.status;
    return first.thread;
}

timespec left_until(Moment until) {
    const auto left = until - std::chrono::steady_clock::now();
    const auto nanoseconds = left.count() < 0 ? 0 : std::chrono::nanoseconds(left).count();
    return {static_cast<time_t>(nanoseconds / 1'000'000'000), static_cast<long>(nanoseconds % 1'000'000'000)};
}

}  // namespace

void prepare_waiting() {
    struct sigaction action {};
    action.sa_handler = note_told;
    action.sa_flags = SA_RESTART;
    sigaction(SIGCHLD, &action, nullptr);
    const sigset_t child = only_child();
    sigprocmask(SIG_BLOCK, &child, nullptr);
}

// Waits while the process executes a program, which waits until its other threads are gone, which may wait
// for us to reap them: so that is done meanwhile.
int seize(pid_t thread) {
    const sigset_t child = only_child();
    sigprocmask(SIG_UNBLOCK, &child, nullptr);
    const int error =
        trace(PTRACE_SEIZE, thread, 0, PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACEEXIT) == 0 ? 0 : errno;
    sigprocmask(SIG_BLOCK, &child, nullptr);
    return error;
}

void interrupt(pid_t thread) {
    trace(PTRACE_INTERRUPT, thread, 0, 0);
}

Stopping wait_for(pid_t thread, Moment until) {
    const sigset_t child = only_child();
    for (;;) {
        int status = 0;
        for (pid_t got = next_told(status); got != 0; got = next_told(status)) {
            if (got < 0) {
                if (thread == 0) {
                    break;
                }
                return {Stop::ended,
                        0};  // nobody is ours any more: an execve can take a thread away silently
            }
            const Stopping stopping = read_stop(status);
            if (got == thread) {
                return stopping;
            }
            let_go(got, stopping);
        }
        const timespec left = left_until(until);
        if ((left.tv_sec == 0 && left.tv_nsec == 0) ||
            (sigtimedwait(&child, nullptr, &left) < 0 && errno == EAGAIN)) {
            return {Stop::late, 0};
        }
    }
}

void pause_until(Moment until) {
    (void)wait_for(0, until);
}

bool read_registers(pid_t thread, user_regs_struct& registers) {
    return trace(PTRACE_GETREGS, thread, 0, reinterpret_cast<std::uint64_t>(&registers)) == 0;
}

bool write_registers(pid_t thread, const user_regs_struct& registers) {
    return trace(PTRACE_SETREGS, thread, 0, reinterpret_cast<std::uint64_t>(&registers)) == 0;
}

bool peek(pid_t thread, std::uint64_t address, std::uint64_t& word) {
    errno = 0;
    word = static_cast<std::uint64_t>(trace(PTRACE_PEEKDATA, thread, address, 0));
    return errno == 0;
}

bool poke(pid_t thread, std::uint64_t address, std::uint64_t word) {
    return trace(PTRACE_POKEDATA, thread, address, word) == 0;
}

bool run_to_call(pid_t thread) {
    return trace(PTRACE_SYSCALL, thread, 0, 0) == 0;
}

bool go_on(pid_t thread) {
    return trace(PTRACE_CONT, thread, 0, 0) == 0;
}

void release(pid_t thread, int signal) {
    trace(PTRACE_DETACH, thread, 0, static_cast<std::uint64_t>(signal));
}

Stopped stopped_of(const user_regs_struct& registers) {
    return {static_cast<std::int64_t>(registers.orig_rax),
            static_cast<std::int64_t>(registers.rax),
            {registers.rdi, registers.rsi, registers.rdx, registers.r10, registers.r8, registers.r9},
            registers.cs};
}

Sequence sequence_of(pid_t thread, std::uint64_t rip) {
    struct {
        std::uint64_t address;
        std::uint32_t size;
        std::uint32_t signature;
        std::uint32_t flags;
        std::uint32_t reserved;
    } configuration{};
    constexpr std::uint64_t section_offset = 8;  // rseq::rseq_cs
    constexpr std::uint64_t start_offset = 8;    // rseq_cs::start_ip, then its length
    std::uint64_t section = 0;
    std::uint64_t start = 0;
    std::uint64_t length = 0;
    if (trace(PTRACE_GET_RSEQ_CONFIGURATION, thread, sizeof(configuration),
              reinterpret_cast<std::uint64_t>(&configuration)) <= 0 ||
        configuration.address == 0 || !peek(thread, configuration.address + section_offset, section) ||
        section == 0) {
        return Sequence::outside;
    }
    if (!peek(thread, section + start_offset, start) || !peek(thread, section + start_offset + 8, length)) {
        return Sequence::inside;
    }
    return rip - start < length ? Sequence::inside : Sequence::outside;
}

}  // namespace gpcsup::exec
