#pragma once
// Forks and opens let go on whose child or file may not be visible yet: one entry a thread, written here,
// settled by gpcsupd. No system call but tkill(2) with signal 0, and that only when the neighbourhood of an
// entry is crowded.

#include <cerrno>
#include <cstdint>

#include <sys/syscall.h>
#include <unistd.h>

#include "enforcement/admission.h"

namespace gpcsup::enforcement {

// The thread asks again: its last fork has come to an end, one way or another.
inline void forget_flight(wire::EnforcementTable& table, std::uint32_t tid) {
    for (std::uint32_t probe = 0; probe < wire::flight_probes; ++probe) {
        wire::Flight& flight = table.flights[(tid + probe) % wire::flight_count];
        if (flight.tid.load() == tid) {
            flight.tid.store(0);
            return;
        }
    }
}

// An entry that says nothing any more, or null: every neighbour may still be in flight.
inline wire::Flight* find_free_flight(wire::EnforcementTable& table, std::uint32_t tid) {
    for (std::uint32_t probe = 0; probe < wire::flight_probes; ++probe) {
        wire::Flight& flight = table.flights[(tid + probe) % wire::flight_count];
        if (flight.tid.load() == 0 || flight.resolved_ns.load() >= flight.continued_ns.load()) {
            return &flight;
        }
    }
    for (std::uint32_t probe = 0; probe < wire::flight_probes; ++probe) {
        wire::Flight& flight = table.flights[(tid + probe) % wire::flight_count];
        if (syscall(SYS_tkill, flight.tid.load(), 0) != 0 && errno == ESRCH) {
            return &flight;
        }
    }
    return nullptr;
}

// tid is written last and unwritten first, so that gpcsupd never takes half an entry for a whole one.
inline void write_flight(wire::Flight& flight, std::uint32_t tid, std::uint32_t call, const Leaves& leaves,
                         std::uint64_t now) {
    flight.tid.store(0);
    flight.row.store(leaves.row);
    flight.process_row.store(leaves.process_row);
    flight.file_row.store(leaves.file_row);
    flight.call.store(call);
    flight.resolved_ns.store(0);
    flight.continued_ns.store(now);
    flight.tid.store(tid);
}

}  // namespace gpcsup::enforcement
