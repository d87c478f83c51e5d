#include "processes/exit_reader.h"

namespace gpcsup::processes {

ExitReader::ExitReader(wire::ExitRing& ring, ProcessTable& table, Lineage& lineage, Ledger& ledger,
                       Reaped reaped)
    : ring_(ring), table_(table), lineage_(lineage), ledger_(ledger), reaped_(std::move(reaped)) {
    ledger_.set_pending_reap([this](base::ProcessId id) { return pending(id); });
}

bool ExitReader::pending(base::ProcessId id) const {
    const std::uint64_t head = ring_.head.load(std::memory_order_acquire);
    for (std::uint64_t at = ring_.tail.load(std::memory_order_relaxed); at != head; ++at) {
        const wire::ExitRecord& record = ring_.records[at % wire::exit_ring_capacity];
        // A process without a known start time was gone before it could be looked at: its pid is all there
        // is.
        if (record.pid == id.pid && (id.start_time == 0 || record.start_time == id.start_time)) {
            return true;
        }
    }
    return false;
}

void ExitReader::fold(const wire::ExitRecord& record) {
    Process* process = table_.find(record.pid);
    if (process != nullptr && process->start_time != record.start_time && process->start_time != 0) {
        process = nullptr;
    }
    const bool folded = record.sequence < table_.shared().folded;
    if (process != nullptr && !process->has(process_dead)) {
        lineage_.certainly_dead(*process);
    }
    // A process that the ledger has counted meanwhile is erased; one that it has not is still there.
    process = table_.find(record.pid);
    if (process != nullptr && process->start_time != record.start_time && process->start_time != 0) {
        process = nullptr;
    }
    reaped_(record, process);
    if (folded) {
        return;
    }
    if (process != nullptr) {
        ledger_.reaped(record, *process);
        return;
    }
    ledger_.reaped_unknown(record, lineage_.places_of_unknown(record));
}

base::Result<std::size_t> ExitReader::drain(Tracker& tracker) {
    std::size_t count = 0;
    std::uint64_t tail = ring_.tail.load(std::memory_order_relaxed);
    std::uint64_t head = ring_.head.load(std::memory_order_acquire);
    while (tail != head) {
        // A sweep would tell no more about a process that is gone; the sampled rules do without.
        if (tracker.quality() == TrackingQuality::exact) {
            if (auto drained = tracker.drain(); !drained) {
                return base::pass(drained);
            }
        }
        for (; tail != head; ++tail, ++count) {
            fold(ring_.records[tail % wire::exit_ring_capacity]);
            ring_.tail.store(tail + 1, std::memory_order_release);
        }
        head = ring_.head.load(std::memory_order_acquire);
    }
    return count;
}

}  // namespace gpcsup::processes
