#include "launch/enforcement_table.h"

#include <cerrno>
#include <ctime>
#include <string>

#include <sys/mman.h>
#include <unistd.h>

#include "launch/shared_memory.h"
#include "launch/trap_table.h"

namespace gpcsup::launch {
namespace {

using wire::BudgetKind;
using wire::TrapClass;

constexpr std::string_view what = "the enforcement table";
constexpr unsigned max_levels =
    64;  // deeper than any tree of groups: a loop in the callback must not hang us

constexpr std::size_t index_of(BudgetKind kind) {
    return static_cast<std::size_t>(kind);
}
constexpr std::size_t index_of(TrapClass trap_class) {
    return static_cast<std::size_t>(trap_class);
}

std::string describe(GroupKey group) {
    return "group " + std::to_string(group);
}

}  // namespace

std::uint64_t monotonic_ns() {
    timespec now{};
    clock_gettime(CLOCK_MONOTONIC, &now);
    return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<std::uint64_t>(now.tv_nsec);
}

base::Result<std::unique_ptr<EnforcementClient>> EnforcementClient::create(ParentOf parent_of) {
    auto memfd = make_memory("gpcsup-enforcement", sizeof(wire::EnforcementTable));
    if (!memfd) {
        return base::pass(memfd);
    }
    auto memory = map_memory(*memfd, sizeof(wire::EnforcementTable), what);
    if (!memory) {
        return base::pass(memory);
    }
    auto* table = static_cast<wire::EnforcementTable*>(*memory);  // zero means free everywhere
    fill_classes(*table);
    table->version = wire::enforcement_version;
    std::unique_ptr<EnforcementClient> client(
        new EnforcementClient(std::move(*memfd), table, std::move(parent_of)));
    return client;
}

base::Result<std::unique_ptr<EnforcementClient>> EnforcementClient::adopt(base::Fd memfd,
                                                                          ParentOf parent_of) {
    auto memory = map_memory(memfd, sizeof(wire::EnforcementTable), what);
    if (!memory) {
        return base::pass(memory);
    }
    auto* table = static_cast<wire::EnforcementTable*>(*memory);
    if (table->version != wire::enforcement_version) {
        munmap(table, sizeof(wire::EnforcementTable));
        return base::fail(EPROTO, "adopt", what);
    }
    std::unique_ptr<EnforcementClient> client(
        new EnforcementClient(std::move(memfd), table, std::move(parent_of)));
    if (auto indexed = client->index_existing(); !indexed) {
        return base::pass(indexed);
    }
    return client;
}

EnforcementClient::EnforcementClient(base::Fd memfd, wire::EnforcementTable* table, ParentOf parent_of)
    : memfd_(std::move(memfd)), table_(table), parent_of_(std::move(parent_of)) {}

EnforcementClient::~EnforcementClient() {
    munmap(table_, sizeof(wire::EnforcementTable));
}

// Read, not mapped: reading a hole of the memfd leaves it a hole.
base::Result<> EnforcementClient::index_existing() {
    const auto copy = std::make_unique<wire::EnforcementTable>();
    auto* bytes = reinterpret_cast<char*>(copy.get());
    for (std::size_t done = 0; done < sizeof(*copy);) {
        const ssize_t got = pread(memfd_.get(), bytes + done, sizeof(*copy) - done, static_cast<off_t>(done));
        if (got <= 0) {
            return base::fail(got < 0 ? errno : EIO, "read", what);
        }
        done += static_cast<std::size_t>(got);
    }
    for (std::uint32_t row = 0; row < wire::budget_count; ++row) {
        const wire::Budget& budget = copy->budgets[row];
        if (budget.key.load() != 0 || budget.counted.load() != 0) {  // a retired row keeps its last count
            budget_end_ = row + 1;
        }
    }
    for (std::uint32_t row = 0; row < budget_end_; ++row) {
        const wire::Budget& budget = copy->budgets[row];
        if (const GroupKey key = budget.key.load(); key != 0) {
            const std::pair name(key, static_cast<BudgetKind>(budget.kind.load()));
            budgets_.emplace(name, row);
            unclaimed_.emplace(name, row);
            guarantees_ += budget.guarantee.load() != 0 ? 1 : 0;
        } else {
            free_budgets_.push_back(row);
        }
    }
    for (std::uint32_t row = 0; row < copy->domain_end.load() && row < wire::domain_count; ++row) {
        if (const std::uint64_t key = copy->domains[row].key.load(); key != 0) {
            domain_rows_.emplace(key, row);
        } else {
            free_domains_.push_back(row);
        }
    }
    for (std::uint32_t row = 0; row < wire::override_count; ++row) {
        const wire::Override& found = copy->overrides[row];
        if (const std::uint32_t tgid = found.pid.load(); tgid != 0) {
            overrides_.emplace(static_cast<pid_t>(tgid), OverrideEntry{row, found.domain_key.load(), {}});
        }
    }
    std::unordered_map<std::uint64_t, std::uint32_t> overrides_of;  // the predecessor may have been cut off
    for (const auto& [tgid, entry] : overrides_) {
        ++overrides_of[entry.domain_key];
    }
    for (const auto& [key, row] : domain_rows_) {
        copy->domains[row].overrides.store(overrides_of[key]);
    }
    last_refusal_ = copy->refusals.load();
    return {};
}

std::optional<std::uint32_t> EnforcementClient::take_budget_row() {
    // A row retired a while ago before one never touched; the one retired last only when there is no other.
    if (free_budgets_.size() > 1 || (!free_budgets_.empty() && budget_end_ == wire::budget_count)) {
        const std::uint32_t row = free_budgets_.front();
        free_budgets_.pop_front();
        return row;
    }
    if (budget_end_ == wire::budget_count) {
        return std::nullopt;
    }
    return budget_end_++;
}

std::optional<std::uint32_t> EnforcementClient::take_domain_row() {
    if (!free_domains_.empty()) {
        const std::uint32_t row = free_domains_.front();
        free_domains_.pop_front();
        return row;
    }
    const std::uint32_t row = table_->domain_end.load();
    if (row == wire::domain_count) {
        return std::nullopt;
    }
    table_->domain_end.store(row + 1);
    return row;
}

void EnforcementClient::kick() const {
    const std::uint64_t one = 1;
    if (wakeup_ >= 0) {
        // EAGAIN: the counter is full, so gpc-enforce is to be woken anyway.
        static_cast<void>(!write(wakeup_, &one, sizeof(one)));
    }
}

base::Result<BudgetRow> EnforcementClient::publish(const BudgetRequest& request) {
    const std::pair name(request.group, request.kind);
    unclaimed_.erase(name);
    if (const auto known = budgets_.find(name); known != budgets_.end()) {
        wire::Budget& budget = table_->budgets[known->second];
        budget.refuse_errno.store(static_cast<std::uint32_t>(request.refuse_errno));
        budget.limit.store(request.limit);
        budget.barrier.store(request.barrier);
        budget.parent.store(nearest_row(parent_of_(request.group), request.kind));
        kick();
        return BudgetRow(known->second);
    }
    const auto taken = take_budget_row();
    if (!taken) {
        return base::fail(ENOSPC, "limit", describe(request.group));
    }
    const std::uint32_t row = *taken;
    wire::Budget& budget = table_->budgets[row];
    budget.limit.store(request.limit);
    budget.barrier.store(request.barrier);
    budget.refuse_errno.store(static_cast<std::uint32_t>(request.refuse_errno));
    budget.kind.store(static_cast<std::uint32_t>(request.kind));
    budget.counted.store(std::uint64_t{UINT32_MAX} << 32 | budget.issued.load());
    budget.failcnt.store(0);
    budget.peak.store(0);
    budget.least.store(0);
    budget.guarantee.store(0);
    budget.rate_limit.store(wire::unlimited);
    budget.rate_began_ns.store(0);
    budget.rate_failcnt.store(0);
    budget.rate_spends.store(static_cast<std::uint32_t>(wire::RateSpends::admitted));
    budget.recount_wanted.store(0);
    budget.recounted.store(0);
    budget.refused_in_second.store(0);
    budget.parent.store(nearest_row(parent_of_(request.group), request.kind));
    budget.key.store(request.group);
    budgets_.emplace(name, row);
    link_new(BudgetRow(row), request.group, request.kind);
    return BudgetRow(row);
}

void EnforcementClient::set_rate(BudgetRow row, std::uint64_t count, std::uint64_t window_ns,
                                 wire::RateSpends spends) {
    wire::Budget& limited = budget(row);
    limited.rate_spends.store(static_cast<std::uint32_t>(spends));
    if (limited.rate_limit.load() == count && limited.rate_window_ns.load() == window_ns) {
        return;
    }
    limited.rate_window_ns.store(window_ns);
    limited.rate_limit.store(count);
    limited.rate_began_ns.store(0);
    kick();
}

void EnforcementClient::store_guarantee(wire::Budget& budget, std::uint32_t count) {
    guarantees_ -= budget.guarantee.load() != 0 ? 1 : 0;
    guarantees_ += count != 0 ? 1 : 0;
    budget.guarantee.store(count);
}

void EnforcementClient::set_guarantee(BudgetRow row, std::uint64_t count) {
    wire::Budget& kept = budget(row);
    const auto wanted = static_cast<std::uint32_t>(std::min<std::uint64_t>(count, UINT32_MAX));
    if (kept.guarantee.load() == wanted) {
        return;
    }
    if (kept.guarantee.load() < wanted) {  // first, or for a moment it would be promised twice
        for_each_row_from(kept.parent.load(), [](wire::Budget& above) { make_doubtful(above); });
    }
    store_guarantee(kept, wanted);
    kick();
}

// Whoever lies below the new row's group and pointed past it now points to it.
void EnforcementClient::link_new(BudgetRow row, GroupKey group, BudgetKind kind) {
    const std::uint32_t above = budget(row).parent.load();
    for (const auto& [name, other] : budgets_) {
        wire::Budget& below = table_->budgets[other];
        if (name.second == kind && other != row.value && below.parent.load() == above &&
            passes(parent_of_(name.first), group)) {
            below.parent.store(row.value);
        }
    }
    rewrite_places();
}

bool EnforcementClient::passes(GroupKey from, GroupKey through) const {
    for (unsigned level = 0; from != 0 && level < max_levels; ++level) {
        if (from == through) {
            return true;
        }
        from = parent_of_(from);
    }
    return false;
}

void EnforcementClient::retire(BudgetRow row) {
    wire::Budget& gone = budget(row);
    const std::uint32_t above = gone.parent.load();
    budgets_.erase({gone.key.load(), static_cast<BudgetKind>(gone.kind.load())});
    gone.limit.store(wire::unlimited);
    gone.barrier.store(wire::unlimited);
    gone.rate_limit.store(wire::unlimited);
    store_guarantee(gone, 0);
    // Retired rows, too: a fork in flight may have been reserved on one, and its chain must lead on to the
    // living.
    for (std::uint32_t other = 0; other < budget_end_; ++other) {
        if (other != row.value && table_->budgets[other].parent.load() == row.value) {
            table_->budgets[other].parent.store(above);
        }
    }
    rewrite_places();
    gone.key.store(0);
    free_budgets_.push_back(row.value);
    kick();
}

void EnforcementClient::retire_unclaimed() {
    const auto gone = std::exchange(unclaimed_, {});
    for (const auto& [name, row] : gone) {
        retire(BudgetRow(row));
    }
    std::vector<pid_t> unclaimed;
    for (const auto& [tgid, entry] : overrides_) {
        if (!entry.place) {
            unclaimed.push_back(tgid);
        }
    }
    for (const pid_t tgid : unclaimed) {
        remove_override(tgid);
    }
    // A listener without a domain would park its callers for ever: a predecessor's domain stays until it is
    // closed.
    for (const std::uint64_t key : closed_domains()) {
        if (!domains_.contains(key)) {
            remove_domain(key);
        }
    }
}

std::optional<BudgetRow> EnforcementClient::find(GroupKey group, BudgetKind kind) const {
    const auto found = budgets_.find({group, kind});
    return found == budgets_.end() ? std::nullopt : std::optional(BudgetRow(found->second));
}

std::uint32_t EnforcementClient::nearest_row(GroupKey group, BudgetKind kind) const {
    for (unsigned level = 0; group != 0 && level < max_levels; ++level) {
        if (const auto found = budgets_.find({group, kind}); found != budgets_.end()) {
            return found->second;
        }
        group = parent_of_(group);
    }
    return wire::no_row;
}

std::optional<BudgetRow> EnforcementClient::nearest(GroupKey group, BudgetKind kind) const {
    const std::uint32_t row = nearest_row(group, kind);
    return row == wire::no_row ? std::nullopt : std::optional(BudgetRow(row));
}

void EnforcementClient::publish_count(BudgetRow row, const ExactCount& count) {
    const std::uint64_t held = std::min<std::uint64_t>(count.held, UINT32_MAX);
    wire::Budget& counted = budget(row);
    counted.counted.store(held << 32 | count.issued_then);
    counted.recounted.store(count.began_ns);
}

std::vector<BudgetRow> EnforcementClient::recounts_wanted() const {
    std::vector<BudgetRow> rows;
    for (const auto& [name, row] : budgets_) {
        const wire::Budget& budget = table_->budgets[row];
        if (budget.recount_wanted.load() > budget.recounted.load()) {
            rows.emplace_back(row);
        }
    }
    return rows;
}

void EnforcementClient::for_each_budget(const std::function<void(BudgetRow)>& visit) const {
    for (const auto& [name, row] : budgets_) {
        visit(BudgetRow(row));
    }
}

void EnforcementClient::write_rows(const EnforcedPlace& place,
                                   std::atomic<std::uint32_t> (&rows)[wire::trap_class_count],
                                   std::atomic<std::uint32_t>& process_row) const {
    for (std::atomic<std::uint32_t>& row : rows) {
        if (&row != &rows[index_of(TrapClass::task)] && &row != &rows[index_of(TrapClass::file)]) {
            row.store(wire::no_row);
        }
    }
    rows[index_of(TrapClass::task)].store(nearest_row(place[index_of(BudgetKind::tasks)], BudgetKind::tasks));
    rows[index_of(TrapClass::file)].store(nearest_row(place[index_of(BudgetKind::files)], BudgetKind::files));
    process_row.store(nearest_row(place[index_of(BudgetKind::processes)], BudgetKind::processes));
}

void EnforcementClient::rewrite_places() {
    for (const auto& [key, entry] : domains_) {
        wire::Domain& domain = table_->domains[entry.row];
        write_rows(entry.place, domain.budget, domain.process_budget);
    }
    for (const auto& [tgid, entry] : overrides_) {
        if (entry.place) {
            wire::Override& row = table_->overrides[entry.row];
            write_rows(*entry.place, row.budget, row.process_budget);
        }
    }
}

}  // namespace gpcsup::launch
