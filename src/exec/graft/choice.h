#pragma once
// Which thread of a process may be borrowed, and whether the process may be grafted at all. Pure: decides
// from what /proc says of each thread, and, of one that has been stopped, from its registers.
//
// A thread that is stopped leaves the call that it waits in. The kernel makes the call again for it, unless
// the call says EINTR at once, or has done a part of its work. What says EINTR and has done nothing yet can
// be made again by us (docs/why/grafting.md); what does more than that is left alone.

#include <cstdint>
#include <span>

#include <elf.h>
#include <sys/syscall.h>

#include "wire/graft.h"

#ifndef SYS_epoll_pwait2
#define SYS_epoll_pwait2 441
#endif

namespace gpcsup::exec {

// The smaller, the sooner.
enum class Rank : std::uint8_t {
    free,      // on its own instructions, or through with a call
    clean,     // waits in a call that is made again as if nothing had been
    likely,    // the same, unless the socket has a timeout: then as `repaired`
    timed,     // the rest of its time is waited for (restart_syscall)
    repaired,  // says EINTR, having done nothing: is made again by us
    masked,    // as that, or clean, but with another signal mask, or with a timeout that begins anew
    unfit,
};

inline constexpr int no_call = -1;  // on its own instructions

struct Call {
    long number = no_call;
    std::uint64_t arguments[6] = {};
};

namespace detail {
inline Rank rank_of_futex(const Call& call) {
    constexpr std::uint64_t command_mask = 0x7f;
    constexpr std::uint64_t wait = 0;
    constexpr std::uint64_t wait_bitset = 9;
    const std::uint64_t command = call.arguments[1] & command_mask;
    if (command != wait && command != wait_bitset) {
        return call.arguments[3] == 0 ? Rank::clean : Rank::masked;
    }
    return call.arguments[3] == 0 ? Rank::clean : Rank::timed;
}

inline Rank rank_of_epoll(const Call& call, std::uint64_t mask) {
    const bool for_ever = static_cast<std::int32_t>(call.arguments[3]) < 0;
    return mask == 0 && for_ever ? Rank::repaired : Rank::masked;
}
}  // namespace detail

// Of a thread that waits in this call.
inline Rank rank_of(const Call& call) {
    switch (call.number) {
        case no_call:
            return Rank::free;
        case SYS_futex:
            return detail::rank_of_futex(call);
        case SYS_wait4:
        case SYS_waitid:
        case SYS_pause:
        case SYS_flock:
            return Rank::clean;
        case SYS_read:  // of inotify: EINTR
        case SYS_accept:
        case SYS_accept4:
        case SYS_recvfrom:
        case SYS_recvmsg:
            return Rank::likely;
        case SYS_nanosleep:
        case SYS_clock_nanosleep:
        case SYS_poll:
        case SYS_restart_syscall:
            return Rank::timed;
        case SYS_epoll_wait:
            return detail::rank_of_epoll(call, 0);
        case SYS_epoll_pwait:
            return detail::rank_of_epoll(call, call.arguments[4]);
        case SYS_semop:
            return Rank::repaired;
        case SYS_epoll_pwait2:
        case SYS_rt_sigsuspend:
        case SYS_ppoll:
        case SYS_pselect6:
        case SYS_select:
        case SYS_semtimedop:
        case SYS_rt_sigtimedwait:
        case SYS_io_getevents:
            return Rank::masked;
        default:
            return Rank::unfit;  // what it has done already would be told as all that there was to do
    }
}

// Whether a call of this number that says EINTR has done nothing, and may be made again.
inline bool is_repairable(long number) {
    switch (number) {
        case SYS_read:
        case SYS_accept:
        case SYS_accept4:
        case SYS_recvfrom:
        case SYS_recvmsg:
        case SYS_epoll_wait:
        case SYS_epoll_pwait:
        case SYS_epoll_pwait2:
        case SYS_semop:
        case SYS_semtimedop:
        case SYS_rt_sigtimedwait:
        case SYS_io_getevents:
            return true;
        default:
            return false;
    }
}

// What a call that was interrupted has in rax while its thread is stopped (linux/errno.h of the kernel).
inline constexpr std::int64_t restart_sys = -512;     // again, unless a handler without SA_RESTART runs
inline constexpr std::int64_t restart_nointr = -513;  // again
inline constexpr std::int64_t restart_nohand = -514;  // again, unless a handler runs
inline constexpr std::int64_t restart_block = -516;   // by restart_syscall, unless a handler runs
inline constexpr std::int64_t says_interrupted = -4;  // EINTR

struct Stopped {                  // a thread, by its registers
    std::int64_t call = no_call;  // orig_rax
    std::int64_t result = 0;      // rax
    std::uint64_t arguments[6] = {};
    std::uint64_t code_segment = 0;
};

inline constexpr std::uint64_t native_code = 0x33;

// How fit the thread is, now that its registers can be seen: it may be somewhere else than it was before.
inline Rank rank_of(const Stopped& thread) {
    if (thread.code_segment != native_code) {
        return Rank::unfit;
    }
    if (thread.call < 0) {
        return Rank::free;
    }
    Call call{static_cast<long>(thread.call), {}};
    for (unsigned at = 0; at < 6; ++at) {
        call.arguments[at] = thread.arguments[at];
    }
    const Rank waiting = rank_of(call);
    switch (thread.result) {
        case restart_sys:
        case restart_nointr:
        case restart_nohand:
            // What has done nothing yet is made again, whatever it is; a mask of its own comes last all the
            // same.
            return waiting == Rank::masked ? Rank::masked : Rank::clean;
        case restart_block:
            return Rank::timed;
        case says_interrupted:
            return !is_repairable(call.number) ? Rank::unfit
                   : waiting == Rank::likely   ? Rank::repaired
                                               : waiting;
        default:
            return Rank::free;  // through with it
    }
}

// What must stand in rax for the kernel to make the call again, unless a handler runs first.
inline std::int64_t mended(const Stopped& thread) {
    const bool again = thread.call >= 0 && thread.result == says_interrupted && is_repairable(thread.call);
    return again ? restart_nohand : thread.result;
}

// Where a thread goes on that has to do by itself what the kernel would do for it.
struct Resumption {
    std::int64_t rax = 0;
    std::int64_t back = 0;  // bytes before rip: 2 = the system call instruction
};
inline Resumption resumption(const Stopped& thread) {
    if (thread.call < 0) {
        return {thread.result, 0};
    }
    switch (mended(thread)) {
        case restart_sys:
        case restart_nointr:
        case restart_nohand:
            return {thread.call, 2};
        case restart_block:
            return {SYS_restart_syscall, 2};
        default:
            return {thread.result, 0};
    }
}

// --- the process

enum class Abi : std::uint8_t { native, other, unknown };  // `unknown` when nobody may look

// By the first bytes of the program that it executes: x32 has the machine's number, and not its class.
inline Abi abi_of(std::span<const std::uint8_t> head) {
    constexpr std::size_t enough = 20;
    if (head.size() < enough) {
        return Abi::unknown;
    }
    const bool elf = head[0] == 0x7f && head[1] == 'E' && head[2] == 'L' && head[3] == 'F';
    const bool wide = head[EI_CLASS] == ELFCLASS64;
    const bool native = (head[18] | head[19] << 8) == EM_X86_64;
    return elf && wide && native ? Abi::native : Abi::other;
}

enum class FilterMode : std::uint8_t { none, some };  // Seccomp: 0, or anything else
enum class Promise : std::uint8_t { none, made };     // NoNewPrivs

struct Thread {  // as /proc/PID/task/TID has it
    std::int32_t tid = 0;
    std::int32_t tracer = 0;
    FilterMode filter = FilterMode::none;
    Promise promise = Promise::none;
    bool capable = false;  // CAP_SYS_ADMIN in its user namespace
    bool ended = false;    // a leader that left the others behind
    Rank rank = Rank::unfit;
};

// Setting a filter for all threads spreads the promise of the thread that sets it to all of them: so whoever
// has made it may be borrowed only where everybody has.
inline bool may_set_filter(const Thread& thread, std::span<const Thread> all) {
    if (thread.promise == Promise::none) {
        return thread.capable;
    }
    for (const Thread& other : all) {
        if (!other.ended && other.promise == Promise::none) {
            return false;
        }
    }
    return true;
}

struct Judgement {
    wire::GraftOutcome outcome = wire::GraftOutcome::enforced;  // that nothing is in the way
    std::int32_t other = 0;
};

inline Judgement judge(std::span<const Thread> all, std::int32_t ourselves) {
    bool somebody = false;
    bool alive = false;
    for (const Thread& thread : all) {
        if (thread.ended) {
            continue;
        }
        alive = true;
        if (thread.filter != FilterMode::none) {
            return {wire::GraftOutcome::own_filter, thread.tid};
        }
        if (thread.tracer != 0 && thread.tracer != ourselves) {
            return {wire::GraftOutcome::traced, thread.tracer};
        }
        somebody = somebody || may_set_filter(thread, all);
    }
    if (!alive) {
        return {wire::GraftOutcome::gone, 0};
    }
    return {somebody ? wire::GraftOutcome::enforced : wire::GraftOutcome::needs_promise, 0};
}

// The fittest thread that has not been tried in this round and is no worse than `worst`; all.size() = none.
inline std::size_t choose(std::span<const Thread> all, std::span<const bool> tried, Rank worst) {
    std::size_t best = all.size();
    for (std::size_t at = 0; at < all.size(); ++at) {
        const Thread& thread = all[at];
        const bool fits = !thread.ended && !tried[at] && thread.rank <= worst && may_set_filter(thread, all);
        if (fits && (best == all.size() || thread.rank < all[best].rank)) {
            best = at;
        }
    }
    return best;
}

}  // namespace gpcsup::exec
