#pragma once
// Folds gpc-init's exit records into lineage and ledger, in order, each exactly once over any death of
// gpcsupd: the number of the last one folded is part of the same transaction as its time, and the ring's tail
// moves only afterwards. Whoever is told of an exit may therefore be told again after a crash, with the same
// sequence, and must know what it has done already.

#include <functional>

#include "processes/ledger.h"
#include "processes/lineage.h"
#include "wire/exit_ring.h"

namespace gpcsup::processes {

class ExitReader {
  public:
    // Told before the row is erased (`process` null: never heard of, or folded before a crash). A unit's main
    // process is known by its pid and start time.
    using Reaped = std::function<void(const wire::ExitRecord& record, const Process* process)>;

    ExitReader(wire::ExitRing& ring, ProcessTable& table, Lineage& lineage, Ledger& ledger, Reaped reaped);
    // Before the first record an exact tracker is drained, so that what happened before an exit is known at
    // it.
    base::Result<std::size_t> drain(Tracker& tracker);
    // Whether a record of this process waits to be folded.
    [[nodiscard]] bool pending(base::ProcessId id) const;

  private:
    void fold(const wire::ExitRecord& record);
    wire::ExitRing& ring_;
    ProcessTable& table_;
    Lineage& lineage_;
    Ledger& ledger_;
    Reaped reaped_;
};

}  // namespace gpcsup::processes
