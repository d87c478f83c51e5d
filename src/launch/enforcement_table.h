#pragma once
// gpcsupd's side of the enforcement table (wire/enforcement_table.h): rows are made, found again after a
// restart, linked along the tree of groups, and retired; parked requests are taken and answered. No policy in
// here: what a limit is and how many tasks there are is told from outside. The memfd is to be kept by
// gpc-init under KeepClass::enforcement_table.

#include <array>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <unordered_map>
#include <vector>

#include "base/fd.h"
#include "base/result.h"
#include "base/strong_id.h"
#include "wire/enforcement_table.h"

namespace gpcsup::launch {

using BudgetRow = base::StrongId<struct BudgetRowTag>;
using GroupKey = std::uint32_t;  // GroupId::value; 0 = none

inline constexpr std::size_t budget_kinds = static_cast<std::size_t>(wire::BudgetKind::count_);

// The group that counts for each kind of budget: the group in the hierarchy to which that kind's controller
// is bound.
using EnforcedPlace = std::array<GroupKey, budget_kinds>;

// The group above, 0 for a root: supplied by whoever knows the trees.
using ParentOf = std::function<GroupKey(GroupKey)>;

struct BudgetRequest {
    GroupKey group = 0;
    wire::BudgetKind kind = wire::BudgetKind::tasks;
    std::uint64_t limit = wire::unlimited;
    int refuse_errno = 0;
    std::uint64_t barrier = wire::unlimited;  // files: the limit of callers without privileges
};

struct ExactCount {
    std::uint64_t held = 0;         // members plus what may be in flight
    std::uint32_t issued_then = 0;  // read before anything was counted
    std::uint64_t began_ns = 0;     // CLOCK_MONOTONIC before that
};

struct ParkedCall {  // a call that gpcsupd performs on the caller's behalf
    std::uint32_t slot = 0;
    std::uint64_t domain_key = 0;
    wire::TrapClass trap_class = wire::TrapClass::none;
    seccomp_notif notification{};
};

struct Verdict {
    enum class Kind { proceed, value, error } kind = Kind::error;
    std::int64_t value = 0;
    int error = 0;
};

struct RefusalRecord {
    std::uint64_t sequence = 0;
    std::uint64_t monotonic_ns = 0;
    pid_t tid = 0;
    GroupKey group = 0;
    wire::BudgetKind kind = wire::BudgetKind::tasks;
    int call = 0;
    wire::RefusalCause cause = wire::RefusalCause::limit;
};

class EnforcementClient {
  public:
    static base::Result<std::unique_ptr<EnforcementClient>> create(ParentOf parent_of);
    // After a restart. Rows of the predecessor go on being enforced; publish() and set_domain() claim them
    // again, and retire_unclaimed() ends those that nobody claimed. EPROTO: another version.
    static base::Result<std::unique_ptr<EnforcementClient>> adopt(base::Fd memfd, ParentOf parent_of);
    ~EnforcementClient();
    EnforcementClient(const EnforcementClient&) = delete;
    EnforcementClient& operator=(const EnforcementClient&) = delete;

    [[nodiscard]] int descriptor() const { return memfd_.get(); }
    [[nodiscard]] wire::EnforcementTable& table() { return *table_; }
    void use_wakeup(int enforce_wakeup) {
        wakeup_ = enforce_wakeup;
    }                   // eventfd KeepClass::enforce_wakeup; not owned
    void kick() const;  // gpc-enforce looks at everything parked again

    // Budgets. A new one says "full" until its first count (publish_count), so the first request waits for
    // that count. ENOSPC: the table is full. Publishing an existing (group, kind) changes its limit.
    base::Result<BudgetRow> publish(const BudgetRequest& request);
    // So many requests in such a window, wire::unlimited = any number. Another rate begins a new window.
    void set_rate(BudgetRow row, std::uint64_t count, std::uint64_t window_ns,
                  wire::RateSpends spends = wire::RateSpends::admitted);
    // So many of the row's are kept for it in the rows above, which are to be counted anew when that is more.
    void set_guarantee(BudgetRow row, std::uint64_t count);
    [[nodiscard]] bool has_guarantees() const { return guarantees_ > 0; }
    void retire(BudgetRow row);
    void retire_unclaimed();
    [[nodiscard]] std::optional<BudgetRow> find(GroupKey group, wire::BudgetKind kind) const;
    [[nodiscard]] std::optional<BudgetRow> nearest(GroupKey group,
                                                   wire::BudgetKind kind) const;  // here or above
    [[nodiscard]] wire::Budget& budget(BudgetRow row) { return table_->budgets[row.value]; }
    void publish_count(BudgetRow row, const ExactCount& count);
    [[nodiscard]] std::vector<BudgetRow> recounts_wanted() const;  // rows on which a request waits
    void for_each_budget(const std::function<void(BudgetRow)>& visit) const;

    // Members that come otherwise than by a trapped fork. Before they are there, their budgets must know:
    // charge() adds what is coming (a start: one task, one process), doubt() makes the budgets say "full"
    // until they have been counted (a move, an attach: whatever it brings). set_domain and set_override do it
    // by themselves. Too much is corrected by the next count.
    struct Newcomers {
        std::uint32_t tasks = 1;
        std::uint32_t processes = 1;
    };
    void charge(const EnforcedPlace& place, const Newcomers& newcomers);
    void doubt(const EnforcedPlace& place);

    // Domains: made before the filtered process is started, removed when closed_domains() names them. Moving
    // the whole domain is a set_domain with another place. ENOSPC.
    base::Result<> set_domain(std::uint64_t key, const EnforcedPlace& place);
    void remove_domain(std::uint64_t key);
    [[nodiscard]] std::vector<std::uint64_t> closed_domains()
        const;  // their listeners hung up: nobody is trapped
    [[nodiscard]] std::vector<std::uint64_t> unclaimed_domains() const;  // a predecessor's
    [[nodiscard]] bool has_domain(std::uint64_t key) const { return domain_rows_.contains(key); }
    [[nodiscard]] std::uint64_t highest_domain() const;  // 0: there is none
    // Whether gpc-enforce ever had its listener. `unknown` while no gpc-enforce has said that it tells.
    enum class Listened { no, yes, unknown };
    [[nodiscard]] Listened listened(std::uint64_t key) const;

    // One process (with the children it will have) away from its domain's place. ENOSPC; ENOENT: no such
    // domain.
    base::Result<> set_override(pid_t tgid, std::uint64_t domain_key, const EnforcedPlace& place);
    void remove_override(pid_t tgid);  // it died; unknown ones are fine
    // It is back in the place of its nearest ancestor with an override, or of its domain: `place`.
    void follow(pid_t tgid, const EnforcedPlace& place);
    [[nodiscard]] bool has_override(pid_t tgid) const { return overrides_.contains(tgid); }
    // Where a domain of ours is; nullptr: there is none.
    [[nodiscard]] const EnforcedPlace* place_of(std::uint64_t domain_key) const;

    // Calls to be performed, each shown once (again after a restart).
    [[nodiscard]] std::vector<ParkedCall> take_parked();
    void answer(const ParkedCall& call, const Verdict& verdict);

    // Refusals since the last reading; the oldest may have been overwritten (a gap in the sequence says so).
    [[nodiscard]] std::vector<RefusalRecord> read_refusals();

  private:
    struct DomainEntry {
        std::uint32_t row = 0;
        EnforcedPlace place{};
    };
    struct OverrideEntry {
        std::uint32_t row = 0;
        std::uint64_t domain_key = 0;
        std::optional<EnforcedPlace>
            place;  // absent: a predecessor's, not claimed yet; its rows hold as they are
    };
    EnforcementClient(base::Fd memfd, wire::EnforcementTable* table, ParentOf parent_of);
    base::Result<> index_existing();
    [[nodiscard]] std::optional<std::uint32_t> take_budget_row();
    [[nodiscard]] std::optional<std::uint32_t> take_domain_row();
    [[nodiscard]] std::uint32_t nearest_row(GroupKey group, wire::BudgetKind kind) const;
    void store_guarantee(wire::Budget& budget, std::uint32_t count);
    void link_new(BudgetRow row, GroupKey group, wire::BudgetKind kind);
    [[nodiscard]] bool passes(GroupKey from, GroupKey through) const;
    static void make_doubtful(wire::Budget& budget);
    void for_each_row_from(std::uint32_t row, const std::function<void(wire::Budget&)>& visit);
    // Every budget at or above the place, of each kind.
    void for_each_above(const EnforcedPlace& place,
                        const std::function<void(wire::Budget&, wire::BudgetKind)>& visit);
    void write_rows(const EnforcedPlace& place, std::atomic<std::uint32_t> (&budget)[wire::trap_class_count],
                    std::atomic<std::uint32_t>& process_budget) const;
    void rewrite_places();
    [[nodiscard]] std::optional<std::uint32_t> free_override_row(pid_t tgid) const;
    void count_override(std::uint64_t domain_key, int more);

    base::Fd memfd_;
    wire::EnforcementTable* table_;
    ParentOf parent_of_;
    int wakeup_ = -1;
    std::map<std::pair<GroupKey, wire::BudgetKind>, std::uint32_t> budgets_;
    std::map<std::pair<GroupKey, wire::BudgetKind>, std::uint32_t> unclaimed_;
    // Rows never used are not touched, not even to look: a table that nobody needs costs no memory.
    // First freed, first used again: gpc-enforce may still look at a retired row.
    std::deque<std::uint32_t> free_budgets_;
    std::size_t guarantees_ = 0;    // rows that have one
    std::uint32_t budget_end_ = 0;  // rows at or behind it were never used
    std::deque<std::uint32_t> free_domains_;
    std::unordered_map<std::uint64_t, std::uint32_t> domain_rows_;  // all in the table, a predecessor's too
    std::unordered_map<std::uint64_t, DomainEntry> domains_;        // those claimed by us
    std::unordered_map<pid_t, OverrideEntry> overrides_;
    std::array<std::uint64_t, wire::pending_count> taken_{};  // notification id last shown by take_parked
    std::uint64_t last_refusal_ = 0;
};

// CLOCK_MONOTONIC in nanoseconds, as all times in the table.
std::uint64_t monotonic_ns();

}  // namespace gpcsup::launch
