// The second half of EnforcementClient: domains, overrides, parked calls and refusals.

#include <algorithm>
#include <cerrno>
#include <string>

#include "launch/enforcement_table.h"

namespace gpcsup::launch {

void EnforcementClient::for_each_row_from(std::uint32_t row,
                                          const std::function<void(wire::Budget&)>& visit) {
    for (unsigned level = 0; row < wire::budget_count && level < 64; ++level) {
        visit(table_->budgets[row]);
        row = table_->budgets[row].parent.load();
    }
}

void EnforcementClient::for_each_above(const EnforcedPlace& place,
                                       const std::function<void(wire::Budget&, wire::BudgetKind)>& visit) {
    for (std::size_t kind = 0; kind < budget_kinds; ++kind) {
        const auto budget_kind = static_cast<wire::BudgetKind>(kind);
        for_each_row_from(nearest_row(place[kind], budget_kind),
                          [&](wire::Budget& budget) { visit(budget, budget_kind); });
    }
}

void EnforcementClient::charge(const EnforcedPlace& place, const Newcomers& newcomers) {
    for_each_above(place, [&](wire::Budget& budget, wire::BudgetKind kind) {
        const std::uint64_t counted = budget.counted.load();  // ours alone to write
        const std::uint64_t more = kind == wire::BudgetKind::tasks       ? newcomers.tasks
                                   : kind == wire::BudgetKind::processes ? newcomers.processes
                                                                         : 0;
        const std::uint64_t held = std::min<std::uint64_t>((counted >> 32) + more, UINT32_MAX);
        budget.counted.store(held << 32 | (counted & UINT32_MAX));
    });
}

void EnforcementClient::make_doubtful(wire::Budget& budget) {
    budget.counted.store(std::uint64_t{UINT32_MAX} << 32 | budget.issued.load());
    budget.recounted.store(0);  // no count that began before this moment says anything
}

void EnforcementClient::doubt(const EnforcedPlace& place) {
    for_each_above(place, [](wire::Budget& budget, wire::BudgetKind) { make_doubtful(budget); });
}

base::Result<> EnforcementClient::set_domain(std::uint64_t key, const EnforcedPlace& place) {
    if (const auto known = domains_.find(key); known != domains_.end()) {
        if (known->second.place != place) {
            doubt(place);
        }
        known->second.place = place;
        wire::Domain& domain = table_->domains[known->second.row];
        write_rows(place, domain.budget, domain.process_budget);
        kick();
        return {};
    }
    std::optional<std::uint32_t> row;
    if (const auto left = domain_rows_.find(key); left != domain_rows_.end()) {
        row = left->second;  // a predecessor's: gpc-enforce is deciding from it
    } else {
        row = take_domain_row();
        if (!row) {
            return base::fail(ENOSPC, "enforce limits on", "listener " + std::to_string(key));
        }
        table_->domains[*row].overrides.store(0);
        table_->domains[*row].closed.store(0);
        table_->domains[*row].listened.store(0);
        charge(place, {});  // the process that is about to be started
    }
    wire::Domain& domain = table_->domains[*row];
    write_rows(place, domain.budget, domain.process_budget);
    domain.key.store(key);
    domain_rows_.emplace(key, *row);
    domains_.emplace(key, DomainEntry{*row, place});
    kick();
    return {};
}

void EnforcementClient::remove_domain(std::uint64_t key) {
    std::erase_if(overrides_, [&](const auto& entry) {
        if (entry.second.domain_key != key) {
            return false;
        }
        table_->overrides[entry.second.row].pid.store(0);
        return true;
    });
    if (const auto known = domain_rows_.find(key); known != domain_rows_.end()) {
        table_->domains[known->second].key.store(0);
        free_domains_.push_back(known->second);
        domain_rows_.erase(known);
    }
    domains_.erase(key);
}

std::vector<std::uint64_t> EnforcementClient::closed_domains() const {
    std::vector<std::uint64_t> keys;
    for (const auto& [key, row] : domain_rows_) {
        if (table_->domains[row].closed.load() != 0) {
            keys.push_back(key);
        }
    }
    return keys;
}

std::uint64_t EnforcementClient::highest_domain() const {
    std::uint64_t highest = 0;
    for (const auto& [key, row] : domain_rows_) {
        highest = std::max(highest, key);
    }
    return highest;
}

std::vector<std::uint64_t> EnforcementClient::unclaimed_domains() const {
    std::vector<std::uint64_t> keys;
    for (const auto& [key, row] : domain_rows_) {
        if (!domains_.contains(key)) {
            keys.push_back(key);
        }
    }
    return keys;
}

EnforcementClient::Listened EnforcementClient::listened(std::uint64_t key) const {
    const auto known = domain_rows_.find(key);
    if (known == domain_rows_.end()) {
        return Listened::no;
    }
    if (table_->domains[known->second].listened.load() != 0) {
        return Listened::yes;
    }
    return table_->tells_listened.load() != 0 ? Listened::no : Listened::unknown;
}

std::optional<std::uint32_t> EnforcementClient::free_override_row(pid_t tgid) const {
    for (std::uint32_t probe = 0; probe < wire::override_probes; ++probe) {
        const std::uint32_t row = (static_cast<std::uint32_t>(tgid) + probe) % wire::override_count;
        if (table_->overrides[row].pid.load() == 0) {
            return row;
        }
    }
    return std::nullopt;
}

void EnforcementClient::count_override(std::uint64_t domain_key, int more) {
    if (const auto known = domain_rows_.find(domain_key); known != domain_rows_.end()) {
        std::atomic<std::uint32_t>& count = table_->domains[known->second].overrides;
        count.store(count.load() + static_cast<std::uint32_t>(more));
    }
}

base::Result<> EnforcementClient::set_override(pid_t tgid, std::uint64_t domain_key,
                                               const EnforcedPlace& place) {
    if (!domains_.contains(domain_key)) {
        return base::fail(ENOENT, "find", "listener " + std::to_string(domain_key));
    }
    auto known = overrides_.find(tgid);
    if (known != overrides_.end() && known->second.domain_key != domain_key) {
        remove_override(tgid);
        known = overrides_.end();
    }
    const bool is_new = known == overrides_.end();
    if (is_new) {
        const auto row = free_override_row(tgid);
        if (!row) {
            return base::fail(ENOSPC, "enforce the new place of", "process " + std::to_string(tgid));
        }
        known = overrides_.emplace(tgid, OverrideEntry{*row, domain_key, {}}).first;
    }
    if (known->second.place != place) {
        doubt(place);
    }
    known->second.place = place;
    wire::Override& written = table_->overrides[known->second.row];
    written.domain_key.store(domain_key);
    write_rows(place, written.budget, written.process_budget);
    written.pid.store(static_cast<std::uint32_t>(tgid));
    if (is_new) {
        count_override(domain_key, 1);
    }
    kick();
    return {};
}

void EnforcementClient::remove_override(pid_t tgid) {
    const auto known = overrides_.find(tgid);
    if (known == overrides_.end()) {
        return;
    }
    const std::uint64_t domain_key = known->second.domain_key;
    table_->overrides[known->second.row].pid.store(0);
    overrides_.erase(known);
    count_override(domain_key, -1);
}

const EnforcedPlace* EnforcementClient::place_of(std::uint64_t domain_key) const {
    const auto known = domains_.find(domain_key);
    return known == domains_.end() ? nullptr : &known->second.place;
}

void EnforcementClient::follow(pid_t tgid, const EnforcedPlace& place) {
    if (overrides_.contains(tgid)) {
        doubt(place);
        remove_override(tgid);
    }
}

std::vector<ParkedCall> EnforcementClient::take_parked() {
    std::vector<ParkedCall> calls;
    for (std::uint32_t slot = 0; slot < wire::pending_count; ++slot) {
        const wire::Pending& pending = table_->pending[slot];
        if (static_cast<wire::PendingState>(pending.state.load()) != wire::PendingState::parked) {
            continue;
        }
        ParkedCall call;
        call.slot = slot;
        call.domain_key = pending.domain_key.load();
        call.trap_class = static_cast<wire::TrapClass>(pending.trap_class.load());
        call.notification = pending.notification;
        const bool ours =
            call.trap_class == wire::TrapClass::affinity || call.trap_class == wire::TrapClass::policy;
        if (ours && taken_[slot] != call.notification.id) {
            taken_[slot] = call.notification.id;
            calls.push_back(call);
        }
    }
    return calls;
}

void EnforcementClient::answer(const ParkedCall& call, const Verdict& verdict) {
    wire::Pending& pending = table_->pending[call.slot];
    pending.error.store(verdict.kind == Verdict::Kind::error ? verdict.error : 0);
    pending.value.store(verdict.kind == Verdict::Kind::value ? verdict.value : 0);
    pending.proceed.store(verdict.kind == Verdict::Kind::proceed ? 1 : 0);
    pending.answered_id.store(call.notification.id);
    auto expected = static_cast<std::uint32_t>(wire::PendingState::parked);
    // Not parked any more: its caller died and gpc-enforce dropped it. Another's by now: answered_id tells
    // gpc-enforce.
    if (pending.state.compare_exchange_strong(expected,
                                              static_cast<std::uint32_t>(wire::PendingState::answered))) {
        kick();
    }
}

std::vector<RefusalRecord> EnforcementClient::read_refusals() {
    std::vector<RefusalRecord> records;
    const std::uint64_t last = table_->refusals.load();
    std::uint64_t first = last_refusal_ + 1;
    if (last >= wire::refusal_count && first <= last - wire::refusal_count) {
        first = last - wire::refusal_count + 1;
    }
    for (std::uint64_t sequence = first; sequence <= last; ++sequence) {
        const wire::Refusal& refusal = table_->refusal[sequence % wire::refusal_count];
        const RefusalRecord record{sequence,
                                   refusal.monotonic_ns,
                                   static_cast<pid_t>(refusal.tid),
                                   refusal.key,
                                   static_cast<wire::BudgetKind>(table_->budgets[refusal.row].kind.load()),
                                   refusal.call,
                                   static_cast<wire::RefusalCause>(refusal.cause)};
        if (refusal.sequence.load() == sequence) {  // else overwritten while it was read
            records.push_back(record);
        }
    }
    last_refusal_ = last;
    return records;
}

}  // namespace gpcsup::launch
