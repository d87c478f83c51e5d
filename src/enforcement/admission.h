#pragma once
// May one more be let in? Pure arithmetic over the shared table, no system call. There is one gpc-enforce,
// and it alone adds to `issued`; so looking at every level first and adding afterwards is one step, and
// nothing ever has to be taken back (taking back would let the bound fall below the truth, see
// docs/synchronization.md).

#include <cstdint>

#include "wire/enforcement_table.h"

namespace gpcsup::enforcement {

inline constexpr unsigned max_levels = 64;  // of a chain of budgets: deeper than any tree of groups

// The budgets that a request counts in: up to three leaves, each with the chain above it.
struct Leaves {
    std::uint32_t row = wire::no_row;
    std::uint32_t process_row = wire::no_row;
    std::uint32_t file_row = wire::no_row;
    std::uint32_t files = 1;  // that it makes

    [[nodiscard]] bool any() const {
        return row != wire::no_row || process_row != wire::no_row || file_row != wire::no_row;
    }
};

// How far a caller may go, in the words of the beancounters: to the barrier, or, with CAP_SYS_ADMIN, to the
// limit.
enum class Severity { barrier, limit };

inline std::uint64_t limit_for(const wire::Budget& budget, Severity severity) {
    const std::uint64_t limit = budget.limit.load();
    const std::uint64_t barrier = budget.barrier.load();
    return severity == Severity::limit || limit < barrier ? limit : barrier;
}

inline std::uint64_t bound(const wire::Budget& budget) {
    const std::uint64_t counted = budget.counted.load();
    const std::uint32_t since = budget.issued.load() - static_cast<std::uint32_t>(counted);
    return (counted >> 32) + since;
}

// Whether that many are within what the row has for itself, whatever there is above.
inline bool is_guaranteed(const wire::Budget& budget, std::uint64_t wanted) {
    const std::uint32_t guarantee = budget.guarantee.load();
    return guarantee != 0 && bound(budget) + wanted <= guarantee;
}

// Calls visit(row) from the leaf to the root, until it says stop. A retired row is passed through: its parent
// still leads on.
enum class Walk { on, stop };
template <class Visit>
void for_each_level(const wire::EnforcementTable& table, std::uint32_t leaf, Visit visit) {
    for (unsigned level = 0; leaf < wire::budget_count && level < max_levels; ++level) {
        if (table.budgets[leaf].key.load() != 0 && visit(leaf) == Walk::stop) {
            return;
        }
        leaf = table.budgets[leaf].parent.load();
    }
}

// The first level that has no room for it, or no_row.
inline std::uint32_t find_full(const wire::EnforcementTable& table, const Leaves& leaves,
                               Severity severity = Severity::barrier) {
    std::uint32_t full = wire::no_row;
    const auto look = [&](std::uint32_t leaf, std::uint32_t wanted) {
        for_each_level(table, leaf, [&](std::uint32_t row) {
            const std::uint64_t limit = limit_for(table.budgets[row], severity);
            if (full != wire::no_row ||
                (limit != wire::unlimited && bound(table.budgets[row]) + wanted > limit)) {
                full = full != wire::no_row ? full : row;
                return Walk::stop;
            }
            return is_guaranteed(table.budgets[row], wanted) ? Walk::stop : Walk::on;
        });
    };
    look(leaves.row, 1);
    look(leaves.process_row, 1);
    look(leaves.file_row, leaves.files);
    return full;
}

inline bool window_runs(const wire::Budget& budget, std::uint64_t now) {
    const std::uint64_t began = budget.rate_began_ns.load();
    return began != 0 && now - began < budget.rate_window_ns.load();
}

// The first level that has let in all that it may in its running window, or no_row.
inline std::uint32_t find_spent(const wire::EnforcementTable& table, std::uint32_t leaf, std::uint64_t now) {
    std::uint32_t spent = wire::no_row;
    for_each_level(table, leaf, [&](std::uint32_t row) {
        const wire::Budget& budget = table.budgets[row];
        const std::uint64_t limit = budget.rate_limit.load();
        if (limit != wire::unlimited && (window_runs(budget, now) ? budget.rate_used.load() : 0) >= limit) {
            spent = row;
            return Walk::stop;
        }
        return Walk::on;
    });
    return spent;
}

// One more was let in, or was asked for and then refused by a limit: that costs nothing of a rate that does
// not say so.
inline void spend(wire::EnforcementTable& table, std::uint32_t leaf, std::uint64_t now,
                  wire::RateSpends what = wire::RateSpends::admitted) {
    for_each_level(table, leaf, [&](std::uint32_t row) {
        wire::Budget& budget = table.budgets[row];
        const bool says_so = budget.rate_spends.load() == static_cast<std::uint32_t>(wire::RateSpends::asked);
        if (budget.rate_limit.load() == wire::unlimited || (what == wire::RateSpends::asked && !says_so)) {
            return Walk::on;
        }
        if (window_runs(budget, now)) {
            budget.rate_used.fetch_add(1);
        } else {
            budget.rate_used.store(1);
            budget.rate_began_ns.store(now);
        }
        return Walk::on;
    });
}

inline void reserve(wire::EnforcementTable& table, const Leaves& leaves) {
    const auto add = [&](std::uint32_t leaf, std::uint32_t count) {
        for_each_level(table, leaf, [&](std::uint32_t row) {
            table.budgets[row].issued.fetch_add(count);
            return is_guaranteed(table.budgets[row], 0) ? Walk::stop : Walk::on;
        });
    };
    add(leaves.row, 1);
    add(leaves.process_row, 1);
    add(leaves.file_row, leaves.files);
}

// Refusals of this budget in the running second, this one included.
inline std::uint32_t count_refusal(wire::Budget& budget, std::uint64_t now) {
    const std::uint64_t second = now / 1'000'000'000;
    const std::uint64_t word = budget.refused_in_second.load();
    const auto before = (word >> 32) == (second & UINT32_MAX) ? static_cast<std::uint32_t>(word) : 0;
    budget.refused_in_second.store(second << 32 | (before + 1));
    return before + 1;
}

inline constexpr std::uint32_t storm_threshold = 100;  // refusals in one second

// Whether so many were refused lately (this second or the last one) that answers are given late.
inline bool storming(const wire::Budget& budget, std::uint64_t now) {
    const std::uint64_t second = (now / 1'000'000'000) & UINT32_MAX;
    const std::uint64_t word = budget.refused_in_second.load();
    const std::uint64_t age = second - (word >> 32);
    return age <= 1 && static_cast<std::uint32_t>(word) > storm_threshold;
}

}  // namespace gpcsup::enforcement
