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

wire::BudgetKind kind_of(const wire::Budget& budget) {
    return static_cast<wire::BudgetKind>(budget.kind.load());
}

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

void Recounter::count_and_publish(BudgetRow row, std::uint32_t issued, std::uint64_t began,
                                  const std::vector<Open>& flights) {
    const wire::Budget& budget = client_.budget(row);
    const wire::BudgetKind kind = kind_of(budget);
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
}

Recounter::Family Recounter::family_of(BudgetRow top) const {
    Family family;
    if (!client_.has_guarantees() || kind_of(client_.budget(top)) != wire::BudgetKind::tasks) {
        return family;
    }
    bool promised = false;
    client_.for_each_budget([&](BudgetRow row) {
        const wire::Budget& budget = client_.budget(row);
        if (kind_of(budget) == wire::BudgetKind::tasks && leads_to(row.value, top)) {
            family[row.value] = budget.issued.load();
            promised = promised || (row != top && budget.guarantee.load() != 0);
        }
    });
    return promised ? family : Family{};
}

std::optional<std::uint32_t> Recounter::row_within(std::uint32_t row, const Family& family) const {
    for (unsigned level = 0; row < wire::budget_count && level < max_chain; ++level) {
        if (family.contains(row)) {
            return row;
        }
        row = client_.budget(BudgetRow(row)).parent.load();
    }
    return std::nullopt;
}

// What a row is charged with: its own tasks, and of each row below the guarantee or the charge, whichever is
// more.
void Recounter::count_family(BudgetRow top, const Family& family, std::uint64_t began,
                             const std::vector<Open>& flights) {
    std::map<std::uint32_t, std::uint64_t> charge;
    for (const auto& [group, tasks] : count_by_group_(client_.budget(top).key.load())) {
        const auto nearest = client_.nearest(group, wire::BudgetKind::tasks);
        charge[nearest && family.contains(nearest->value) ? nearest->value : top.value] += tasks;
    }
    for (const Open& flight : flights) {
        if (const auto row = row_within(flight.row, family)) {
            ++charge[*row];
        }
    }
    std::map<std::uint32_t, std::vector<std::uint32_t>> below;
    for (const auto& [row, issued] : family) {
        below[client_.budget(BudgetRow(row)).parent.load()].push_back(row);
    }
    const std::function<std::uint64_t(std::uint32_t)> settle = [&](std::uint32_t row) -> std::uint64_t {
        for (const std::uint32_t child : below[row]) {
            const std::uint64_t guarantee = client_.budget(BudgetRow(child)).guarantee.load();
            charge[row] += std::max(guarantee, settle(child));
        }
        client_.publish_count(BudgetRow(row), {charge[row], family.at(row), began});
        return charge[row];
    };
    settle(top.value);
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
    std::vector<Family> families;
    for (const BudgetRow row : rows) {
        issued.push_back(client_.budget(row).issued.load());
        families.push_back(family_of(row));
    }
    const std::vector<Open> flights = settle_flights();
    for (std::size_t i = 0; i < rows.size(); ++i) {
        if (families[i].empty()) {
            count_and_publish(rows[i], issued[i], began, flights);
        } else {
            count_family(rows[i], families[i], began, flights);
        }
    }
    table.flights_resolved.store(began);
    client_.kick();
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
