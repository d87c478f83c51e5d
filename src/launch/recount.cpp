#include "launch/recount.h"

#include <algorithm>
#include <optional>

namespace gpcsup::launch {
namespace {

constexpr unsigned max_chain = 64;

struct FlightCopy {
    std::uint32_t tid = 0;
    std::uint32_t row = 0;
    std::uint32_t process_row = 0;
    std::uint32_t file_row = 0;
    std::uint32_t call = 0;
    std::uint64_t continued_ns = 0;
};

// One consistent copy of an entry that gpc-enforce may be writing at this moment; nothing when there is none.
// Trying again is ours to do: gpc-enforce runs above us and never waits.
std::optional<FlightCopy> read_flight(const wire::Flight& flight) {
    for (;;) {
        FlightCopy copy;
        copy.continued_ns = flight.continued_ns.load();
        copy.tid = flight.tid.load();
        if (copy.tid == 0) {
            return std::nullopt;
        }
        copy.row = flight.row.load();
        copy.process_row = flight.process_row.load();
        copy.file_row = flight.file_row.load();
        copy.call = flight.call.load();
        if (flight.tid.load() == copy.tid && flight.continued_ns.load() == copy.continued_ns) {
            return copy;
        }
    }
}

}  // namespace

std::vector<Recounter::Open> Recounter::settle_flights() {
    std::vector<Open> open;
    for (wire::Flight& flight : client_.table().flights) {
        const auto copy = read_flight(flight);
        if (!copy || flight.resolved_ns.load() >= copy->continued_ns) {
            continue;
        }
        const std::uint64_t before = monotonic_ns();
        const ThreadState state = probe_.look(static_cast<pid_t>(copy->tid), copy->call, copy->continued_ns);
        if (state == ThreadState::elsewhere || state == ThreadState::gone) {
            // The moment *before* the look: a later fork of the same thread has a later continued_ns and
            // stays open.
            flight.resolved_ns.store(before);
        } else {
            open.push_back({copy->row, copy->process_row, copy->file_row,
                            (copy->call & wire::flight_makes_two) != 0 ? 2U : 1U});
        }
    }
    return open;
}

bool Recounter::leads_to(std::uint32_t from, BudgetRow row) const {
    for (unsigned level = 0; from < wire::budget_count && level < max_chain; ++level) {
        if (from == row.value) {
            return true;
        }
        from = client_.budget(BudgetRow(from)).parent.load();
    }
    return false;
}

std::uint64_t Recounter::count_and_publish(BudgetRow row, std::uint32_t issued, std::uint64_t began,
                                           const std::vector<Open>& flights) {
    const wire::Budget& budget = client_.budget(row);
    const auto kind = static_cast<wire::BudgetKind>(budget.kind.load());
    std::uint64_t in_flight = 0;
    for (const Open& flight : flights) {
        switch (kind) {
            case wire::BudgetKind::processes:
                in_flight += leads_to(flight.process_row, row) ? 1 : 0;
                break;
            case wire::BudgetKind::files:
                in_flight += leads_to(flight.file_row, row) ? flight.files : 0;
                break;
            default:
                in_flight += leads_to(flight.row, row) ? 1 : 0;
                break;
        }
    }
    const std::uint64_t members = count_group_(budget.key.load(), kind);
    client_.publish_count(row, {members + in_flight, issued, began});
    return members;
}

void Recounter::run() {
    wire::EnforcementTable& table = client_.table();
    const std::vector<BudgetRow> rows = client_.recounts_wanted();
    const bool crowded = table.flights_wanted.load() > table.flights_resolved.load();
    if (rows.empty() && !crowded) {
        return;
    }
    const std::uint64_t began = monotonic_ns();
    std::vector<std::uint32_t> issued;
    issued.reserve(rows.size());
    for (const BudgetRow row : rows) {
        issued.push_back(client_.budget(row).issued.load());
    }
    const std::vector<Open> flights = settle_flights();
    for (std::size_t i = 0; i < rows.size(); ++i) {
        count_and_publish(rows[i], issued[i], began, flights);
    }
    table.flights_resolved.store(began);
    client_.kick();
}

std::uint64_t Recounter::recount(BudgetRow row) {
    const std::uint64_t began = monotonic_ns();
    const std::uint32_t issued = client_.budget(row).issued.load();
    const std::uint64_t members = count_and_publish(row, issued, began, settle_flights());
    client_.kick();
    return members;
}

void Recounter::note_fork(pid_t parent_tid, std::uint64_t kernel_ns) {
    const auto first = static_cast<std::uint32_t>(parent_tid);
    for (std::uint32_t probe = 0; probe < wire::flight_probes; ++probe) {
        wire::Flight& flight = client_.table().flights[(first + probe) % wire::flight_count];
        if (flight.tid.load() == first && flight.resolved_ns.load() < kernel_ns) {
            flight.resolved_ns.store(kernel_ns);
            return;
        }
    }
}

}  // namespace gpcsup::launch
