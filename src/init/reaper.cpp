#include "init/reaper.h"

#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "init/proc.h"
#include "init/say.h"

namespace gpcsup::init {

namespace {

constexpr wire::KeepKey ring_key{wire::KeepClass::exit_ring, 0, 0};
constexpr int most_a_round = 64;

int make_ring(State& state) {
    int descriptor = memfd_create("gpcsup exit ring", MFD_CLOEXEC);
    if (descriptor < 0 || ftruncate(descriptor, sizeof(wire::ExitRing)) < 0) {
        say("cannot make the exit ring: %s", error_text(errno));
        return -1;
    }
    char name[KeepTable::name_size] = "exit ring";
    return state.table.put(ring_key, name, descriptor) == KeepTable::no_row ? -1 : descriptor;
}

// waitid(2) with the fifth argument that the C library leaves out. With WNOWAIT it fills the usage, too.
long wait_raw(idtype_t which, pid_t pid, siginfo_t& about, int options, rusage* usage) {
    about.si_pid = 0;
    long result = 0;
    do {
        result = syscall(SYS_waitid, which, pid, &about, options | WNOHANG | __WALL, usage);
    } while (result < 0 && errno == EINTR);
    return result;
}

bool is_own(const State& state, pid_t pid) {
    if (pid == state.shell) {
        return true;
    }
    for (const Helper& helper : state.helpers) {
        if (helper.pid == pid) {
            return true;
        }
    }
    return false;
}

std::uint64_t microseconds(const timeval& time) {
    return static_cast<std::uint64_t>(time.tv_sec) * 1'000'000 + static_cast<std::uint64_t>(time.tv_usec);
}

// The process's own CPU clock goes on being readable until it is reaped. The macro is the kernel's: see
// clock_getcpuclockid(3).
std::uint64_t process_clock(pid_t pid) {
    auto clock = static_cast<clockid_t>((~static_cast<unsigned>(pid) << 3) | 2);
    timespec time{};
    if (clock_gettime(clock, &time) < 0) {
        return 0;
    }
    return to_nanoseconds(time);
}

void record(wire::ExitRing& ring, const siginfo_t& about, const rusage& usage) {
    const std::uint64_t head = ring.head.load(std::memory_order_relaxed);
    const ProcessLine line = read_process(about.si_pid);
    const std::uint64_t start_time = line.start_time;
    if (head > 0) {
        // An image of gpc-init that was replaced between publishing and reaping has recorded it already.
        const wire::ExitRecord& last = ring.records[(head - 1) % wire::exit_ring_capacity];
        if (last.pid == about.si_pid && last.start_time == start_time && last.sequence == head - 1) {
            return;
        }
    }
    wire::ExitRecord& place = ring.records[head % wire::exit_ring_capacity];
    place = {
        .sequence = head,
        .monotonic_ns = now(),
        .start_time = start_time,
        .clock_ns = process_clock(about.si_pid),
        .user_us = microseconds(usage.ru_utime),
        .system_us = microseconds(usage.ru_stime),
        .max_rss_kib = static_cast<std::uint64_t>(usage.ru_maxrss),
        .pid = about.si_pid,
        .code = about.si_code,
        .status = about.si_status,
        .session = line.session,
    };
    ring.head.store(head + 1, std::memory_order_release);
}

}  // namespace

Fits exit_ring_fits(const State& state) {
    const std::uint32_t row = state.table.find(ring_key);
    std::uint32_t heading[2] = {};  // version, capacity
    const bool fits = row == KeepTable::no_row ||
                      (pread(state.table.numbers[row], heading, sizeof heading, 0) ==
                           static_cast<ssize_t>(sizeof heading) &&
                       (heading[0] == 0 ||  // made and never mapped
                        (heading[0] == wire::exit_ring_version && heading[1] == wire::exit_ring_capacity)));
    return fits ? Fits::yes : Fits::no;
}

wire::ExitRing* map_exit_ring(State& state) {
    std::uint32_t row = state.table.find(ring_key);
    int descriptor = row != KeepTable::no_row ? state.table.numbers[row] : make_ring(state);
    if (descriptor < 0) {
        return nullptr;
    }
    void* memory = mmap(nullptr, sizeof(wire::ExitRing), PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0);
    if (memory == MAP_FAILED) {
        say("cannot map the exit ring: %s", error_text(errno));
        return nullptr;
    }
    auto* ring = static_cast<wire::ExitRing*>(memory);
    ring->version = wire::exit_ring_version;
    ring->capacity = wire::exit_ring_capacity;
    return ring;
}

OwnDeath check_own(pid_t pid) {
    siginfo_t about{};
    if (wait_raw(P_PID, pid, about, WEXITED | WSTOPPED, nullptr) < 0) {
        // Not our child at all: it can only have been reaped by a mistake; never wait for it for ever.
        return errno == ECHILD ? OwnDeath{pid, CLD_EXITED, 0} : OwnDeath{};
    }
    return about.si_pid == 0 ? OwnDeath{} : OwnDeath{pid, about.si_code, about.si_status};
}

Reaped reap_strangers(const State& state, wire::ExitRing& ring) {
    for (int count = 0; count < most_a_round; ++count) {
        // A tail beyond the head is gpcsupd's mistake; the difference then wraps to a huge number and is not
        // "full".
        const std::uint64_t held =
            ring.head.load(std::memory_order_relaxed) - ring.tail.load(std::memory_order_acquire);
        if (held >= wire::exit_ring_capacity && held <= INT64_MAX) {
            return Reaped::full;
        }
        siginfo_t about{};
        rusage usage{};
        if (wait_raw(P_ALL, 0, about, WEXITED | WNOWAIT, &usage) < 0 || about.si_pid == 0) {
            return Reaped::all;
        }
        if (is_own(state, about.si_pid)) {
            return Reaped::own;
        }
        record(ring, about, usage);
        siginfo_t gone{};
        wait_raw(P_PID, about.si_pid, gone, WEXITED, nullptr);
    }
    return Reaped::again;
}

}  // namespace gpcsup::init
