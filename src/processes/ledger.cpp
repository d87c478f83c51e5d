#include "processes/ledger.h"

#include <algorithm>
#include <csignal>
#include <optional>
#include <vector>

namespace gpcsup::processes {
namespace {

// Below this much news the division into user and system is not worth reading a file for.
constexpr std::uint64_t division_step_ns = 10'000'000;
// Children time in /proc is cut to whole ticks, user and system apart.
constexpr std::uint64_t tick_error_ns = 20'000'000;
constexpr auto round_interval = std::chrono::seconds(1);

std::uint64_t above(std::uint64_t value, std::uint64_t floor) {
    return value > floor ? value - floor : 0;
}

std::uint64_t children_time(const sys::ProcStat& stat) {
    return sys::nanoseconds_of_ticks(stat.children_user + stat.children_system);
}

std::uint64_t system_time(const sys::ProcStat& stat) {
    return sys::nanoseconds_of_ticks(stat.system + stat.children_system);
}

// Without a total: as much of it in the kernel as of what this process has used so far.
std::uint64_t expected_system(const Process& process, std::uint64_t amount) {
    const std::uint64_t known = process.seen_ns + process.children_ns;
    if (known == 0) {
        return process.system_ns;
    }
    const double share = static_cast<double>(process.system_ns) / static_cast<double>(known);
    return process.system_ns + static_cast<std::uint64_t>(share * static_cast<double>(amount));
}

}  // namespace

void Ledger::credit_own(Transaction& transaction, Process& process, std::uint64_t amount,
                        std::uint64_t system_total) {
    const std::uint64_t system = std::min(above(system_total, transaction.get(process.system_ns)), amount);
    transaction.add(process.seen_ns, amount);
    transaction.add(process.system_ns, system);
    table_.books().charge(transaction, process.book, amount, system);
}

void Ledger::sample(Process& process) {
    if (process.start_time == 0) {
        return;
    }
    const auto time = clocks_.process(process.pid);
    if (!time) {
        return;
    }
    const std::uint64_t amount = above(static_cast<std::uint64_t>(time->count()), process.seen_ns);
    if (amount == 0) {
        return;
    }
    std::uint64_t system_total = expected_system(process, amount);
    if (amount >= division_step_ns) {
        const auto stat = files_.stat(process.pid);
        if (!stat || stat->start_time != process.start_time) {
            return;  // the clock was another process's
        }
        system_total = system_time(*stat);
    }
    Transaction transaction(table_.shared());
    credit_own(transaction, process, amount, system_total);
    transaction.commit();
}

void Ledger::sample_members(grouping::GroupId group) {
    table_.for_each_member_below(group, [this](Process& process) { sample(process); });
}

void Ledger::thread_ended(Process& process, std::uint64_t run_ns, std::uint64_t tick_ns) {
    if (run_ns != 0 || tick_ns != 0) {
        process.thread_ns += run_ns;
        process.tick_ns += tick_ns;
    }
}

// W is divided in proportion to the numbers of the dead; rounding goes to the last.
void Ledger::share_out(Transaction& transaction, Process& process, std::uint64_t amount,
                       std::uint64_t system_total) {
    std::uint64_t heads = 0;
    for (const Waited& waited : process.waited) {
        heads += waited.count;
    }
    std::uint64_t system = std::min(above(system_total, transaction.get(process.system_ns)), amount);
    transaction.add(process.children_ns, amount);
    transaction.add(process.system_ns, system);
    // Without word of exits an unknown child is where its parent is.
    if (heads == 0 || quality_ == TrackingQuality::sampled) {
        table_.books().charge(transaction, process.book, amount, system);
        return;
    }
    for (const Waited& waited : process.waited) {
        if (waited.count == 0) {
            continue;
        }
        const bool last = waited.count == heads;
        const auto share =
            last ? amount
                 : std::min(amount, static_cast<std::uint64_t>(static_cast<double>(amount) * waited.count /
                                                               static_cast<double>(heads)));
        const auto system_share =
            std::min(share, last ? system
                                 : static_cast<std::uint64_t>(static_cast<double>(system) * waited.count /
                                                              static_cast<double>(heads)));
        table_.books().charge(transaction, waited.book, share, system_share);
        amount -= share;
        system = std::min(system - system_share, amount);
        heads -= waited.count;
    }
}

void Ledger::release_waited(const Waited (&waited)[waited_count]) {
    for (const Waited& entry : waited) {
        if (entry.count > 0) {
            table_.books().release(entry.book);
        }
    }
}

void Ledger::settle_with(Process& process, std::uint64_t children_ns, std::uint64_t next_children_ns,
                         std::uint64_t system_total) {
    const std::uint64_t amount = above(children_ns, process.children_ns);
    Transaction transaction(table_.shared());
    transaction.set(process.last_children_ns, std::max(process.last_children_ns, next_children_ns));
    if (amount == 0) {
        transaction.commit();  // who has died is remembered until there is something to share out
        return;
    }
    share_out(transaction, process, amount, system_total);
    Waited settled[waited_count];
    std::copy(std::begin(process.waited), std::end(process.waited), std::begin(settled));
    for (Waited& waited : process.waited) {
        transaction.set(waited.book, 0);
        transaction.set(waited.count, 0);
    }
    transaction.commit();
    release_waited(settled);
}

// R beyond C: children were credited that nobody waited for, and their time will never be in C. They are
// taken out of R, or the time of those that come after them would not be credited.
void Ledger::correct_excess(Process& process, std::uint64_t children_ns) {
    const std::uint64_t most = children_ns + tick_error_ns;
    if (process.children_ns <= most) {
        return;
    }
    const std::uint64_t excess = process.children_ns - most;
    Transaction transaction(table_.shared());
    transaction.set(process.children_ns, most);
    transaction.set(process.system_ns, above(process.system_ns, excess));
    table_.books().charge_estimated(transaction, process.book, excess);
    transaction.commit();
}

void Ledger::settle(Process& process) {
    collect_vanished_children(process);
    if (process.start_time == 0) {
        return;
    }
    const auto stat = files_.stat(process.pid);
    if (!stat || stat->start_time != process.start_time) {
        return;
    }
    correct_excess(process, children_time(*stat));
    settle_with(process, process.last_children_ns, children_time(*stat), system_time(*stat));
}

// Whether children of it may have died whose time is not shared out yet: such a death leaves a dead row, or
// marks it.
bool Ledger::owes(const Process& process) {
    bool owing = process.has(process_unsettled) || process.last_children_ns > process.children_ns ||
                 std::any_of(std::begin(process.waited), std::end(process.waited),
                             [](const Waited& waited) { return waited.count > 0; });
    if (!owing) {
        table_.for_each_child(process.pid,
                              [&](const Process& child) { owing = owing || child.has(process_dead); });
    }
    return owing;
}

void Ledger::before_move(Process& process) {
    sample(process);
    if (quality_ == TrackingQuality::exact && owes(process)) {
        settle(process);
    }
}

bool Ledger::vanished(const Process& process) {
    // The clock of a zombie can still be read. The pid may be another process's by now: then its start time
    // differs.
    if (process.start_time != 0) {
        const auto stat = files_.stat(process.pid);
        if (stat && stat->start_time == process.start_time) {
            return false;
        }
    } else if (files_.stat(process.pid)) {
        return false;
    }
    // gpc-init publishes its record before it reaps: whoever is gone and has no record was waited for by
    // somebody else.
    return !pending_reap_ || !pending_reap_(process.id());
}

void Ledger::collect_vanished_children(Process& process) {
    std::vector<Process*> gone;
    table_.for_each_child(process.pid, [&](Process& child) {
        if (child.has(process_dead) && vanished(child)) {
            gone.push_back(&child);
        }
    });
    for (Process* child : gone) {
        collect(*child);
    }
}

bool Ledger::lets_children_vanish(Process& parent) {
    if (!parent.has(process_reaping_known)) {
        parent.flags |= process_reaping_known;
        parent.flags &= ~static_cast<std::uint32_t>(process_autoreaps);
        if (const auto status = files_.status(parent.pid)) {
            if (sys::ignores_signal(*status, SIGCHLD).value_or(false)) {
                parent.flags |= process_autoreaps;
            }
        }
    }
    return parent.has(process_autoreaps);
}

// A child that no total will ever contain: what is known of it is all there will be.
void Ledger::collect_unwaited(Process& child) {
    const std::uint64_t amount = above(std::max(child.thread_ns, child.tick_ns), child.seen_ns);
    Transaction transaction(table_.shared());
    credit_own(transaction, child, amount, expected_system(child, amount));
    table_.books().charge_estimated(transaction, child.book,
                                    transaction.get(child.seen_ns) + child.children_ns);
    table_.erase(child, transaction);
}

void Ledger::merge_waited(Transaction& transaction, Process& parent, Waited addition) {
    Waited* target = nullptr;
    for (Waited& waited : parent.waited) {
        const std::uint32_t count = transaction.get(waited.count);
        if (count > 0 && transaction.get(waited.book) == addition.book) {
            target = &waited;
            break;
        }
        if (count == 0 && target == nullptr) {
            target = &waited;
        }
    }
    if (target == nullptr) {
        target = &parent.waited[waited_count - 1];
        addition.book = transaction.get(target->book);
    }
    if (transaction.get(target->count) == 0) {
        table_.books().acquire(addition.book);
        transaction.set(target->book, addition.book);
    }
    transaction.set(target->count, transaction.get(target->count) + addition.count);
}

void Ledger::collect(Process& child) {
    Process* parent = table_.find(child.parent);
    if (parent == nullptr) {
        // Its parent is not ours, or is gpc-init whose record is folded: nothing that is known could still be
        // passed on.
        table_.erase(child);
        return;
    }
    if (!child.has(process_was_zombie) && lets_children_vanish(*parent)) {
        collect_unwaited(child);
        return;
    }
    Transaction transaction(table_.shared());
    transaction.add(parent->children_ns, child.seen_ns + child.children_ns);
    transaction.add(parent->system_ns, child.system_ns);
    merge_waited(transaction, *parent, {.book = child.book, .count = 1});
    for (const Waited& waited : child.waited) {
        if (waited.count > 0) {
            merge_waited(transaction, *parent, waited);
        }
    }
    transaction.set(parent->flags, parent->flags | process_unsettled);
    table_.erase(child, transaction);
}

void Ledger::dead(Process& process, const sys::ProcStat* zombie) {
    collect_vanished_children(process);
    std::uint64_t own = process.thread_ns;
    std::uint64_t system_total = expected_system(process, above(own, process.seen_ns));
    if (zombie != nullptr) {
        process.flags |= process_was_zombie;
        if (const auto time = clocks_.process(process.pid)) {
            own = static_cast<std::uint64_t>(time->count());
            system_total = system_time(*zombie);
        }
    }
    if (const std::uint64_t amount = above(own, process.seen_ns); amount > 0) {
        Transaction transaction(table_.shared());
        credit_own(transaction, process, amount, system_total);
        transaction.commit();
    }
    if (zombie != nullptr) {
        // Every child it waited for ended before it did: nothing of what is read now is still unheard of.
        correct_excess(process, children_time(*zombie));
        settle_with(process, children_time(*zombie), children_time(*zombie), system_total);
    }
}

void Ledger::settle_due(base::ProcessId id) {
    Process* process = table_.find(id);
    if (process == nullptr) {
        return;
    }
    process->flags &= ~static_cast<std::uint32_t>(process_unsettled);
    settle(*process);
    const bool waiting = std::any_of(std::begin(process->waited), std::end(process->waited),
                                     [](const Waited& waited) { return waited.count > 0; });
    if (waiting || process->last_children_ns > process->children_ns) {
        process->flags |= process_unsettled;
    }
}

void Ledger::settle_if_due() {
    if (clocks_.monotonic() - last_round_ >= round_interval) {
        settle_round();
    }
}

void Ledger::settle_round() {
    if (quality_ == TrackingQuality::exact) {
        run_round();
    }
}

void Ledger::bring_up_to_date(Tracker& tracker) {
    for (int round = 0; round < 2; ++round) {
        if (quality_ == TrackingQuality::exact) {
            (void)!tracker.drain().has_value();  // what it cannot tell now is shared out later
        }
        settle_round();
    }
}

void Ledger::swept() {
    if (quality_ == TrackingQuality::sampled) {
        run_round();
    }
}

void Ledger::run_round() {
    last_round_ = clocks_.monotonic();
    std::vector<base::ProcessId> due;
    std::vector<base::ProcessId> gone;
    table_.for_each([&](Process& process) {
        process.flags &= ~static_cast<std::uint32_t>(process_reaping_known);
        if (!process.has(process_dead)) {
            if (process.has(process_unsettled) || quality_ == TrackingQuality::sampled) {
                due.push_back(process.id());
            }
        } else if (Process* parent = table_.find(process.parent)) {
            if (!parent->has(process_unsettled)) {
                due.push_back(parent->id());
            }
        } else {
            gone.push_back(process.id());
        }
    });
    std::sort(due.begin(), due.end());  // a parent is named once for each of its dead
    due.erase(std::unique(due.begin(), due.end()), due.end());
    for (const auto& id : due) {
        settle_due(id);
    }
    for (const auto& id : gone) {
        if (Process* process = table_.find(id); process != nullptr && vanished(*process)) {
            collect(*process);
        }
    }
}

void Ledger::reaped(const wire::ExitRecord& record, Process& process) {
    const std::uint64_t both = (record.user_us + record.system_us) * 1000;
    const std::uint64_t system_total = record.system_us * 1000;
    SharedTable& shared = table_.shared();
    collect_vanished_children(process);
    Transaction transaction(shared);
    credit_own(transaction, process, above(record.clock_ns, process.seen_ns), system_total);
    share_out(transaction, process, above(both, record.clock_ns + process.children_ns), system_total);
    transaction.set(shared.folded, record.sequence + 1);
    table_.erase(process, transaction);
}

void Ledger::reaped_unknown(const wire::ExitRecord& record, const grouping::Places& places) {
    const std::uint64_t both = (record.user_us + record.system_us) * 1000;
    const std::uint64_t total = std::max(both, record.clock_ns);
    const std::uint32_t book = table_.books().open(places);
    Transaction transaction(table_.shared());
    table_.books().charge(transaction, book, total, std::min(record.system_us * 1000, total));
    transaction.set(table_.shared().folded, record.sequence + 1);
    transaction.commit();
}

}  // namespace gpcsup::processes
