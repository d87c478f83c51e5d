#include "processes/lineage.h"

#include <cerrno>
#include <vector>

namespace gpcsup::processes {

Lineage::Lineage(grouping::Forest& forest, ProcessTable& table, Ledger& ledger, sys::ProcFiles& files,
                 Origins& origins, Observer& observer)
    : forest_(forest),
      table_(table),
      ledger_(ledger),
      files_(files),
      attributor_(table, files, origins),
      origins_(origins),
      observer_(observer) {}

void Lineage::handle(const Event& event) {
    if (event.kind == EventKind::lost) {
        (void)resync();  // fails only when gpc-init is gone, which is noticed elsewhere
        observer_.on_lost();
        return;
    }
    if (event.kind == EventKind::swept) {
        ledger_.swept();
        observer_.on_swept();
        return;
    }
    if (event.kind == EventKind::fork) {
        forked(event);
        return;
    }
    // Most of what the connector tells is about processes that are not below gpc-init: this look-up is all
    // they cost.
    Process* process = table_.find(event.process);
    if (process == nullptr || process->has(process_dead)) {
        if (process != nullptr && event.kind == EventKind::reparent) {
            table_.reparent(*process, event.parent);
        }
        return;
    }
    switch (event.kind) {
        case EventKind::thread_start:
            ++process->threads;
            observer_.on_thread_start(*process, event.thread);
            break;
        case EventKind::thread_exit:
            observer_.on_thread_exit(*process, event.thread);
            thread_exited(*process, event);
            ledger_.settle_if_due();
            break;
        case EventKind::process_exit:
            certainly_dead(*process);
            break;
        case EventKind::exec:
            executed(*process);
            break;
        case EventKind::session:
            session_started(*process);
            break;
        case EventKind::identity:
            observer_.on_identity(*process);
            break;
        case EventKind::reparent:
            table_.reparent(*process, event.parent);
            break;
        case EventKind::thread_count: {
            const bool more = event.count > process->threads;
            process->threads = event.count;
            process->flags |= process_recount;
            if (more) {
                observer_.on_thread_start(*process, 0);
            }
            break;
        }
        default:
            break;
    }
}

std::optional<sys::ProcStat> Lineage::look_at(const Event& event) {
    auto stat = files_.stat(event.process);
    if (!stat || (event.latest_start != 0 && stat->start_time > event.latest_start)) {
        return std::nullopt;
    }
    return *stat;
}

// Whether a process that is known is the one the event tells of (it was introduced, or met by a sweep, before
// the event).
bool Lineage::is_same(const Process& process, const Event& event) {
    if (event.start_time != 0) {
        return process.start_time == event.start_time;
    }
    const auto stat = look_at(event);
    if (!stat) {
        return !process.has(process_dead);  // gone already; its exit is still to come and settles it
    }
    return process.start_time == stat->start_time;
}

void Lineage::forked(const Event& event) {
    Process* parent = event.parent == table_.root() ? nullptr : table_.find(event.parent);
    if (parent == nullptr && event.parent != table_.root()) {
        return;
    }
    if (Process* known = table_.find(event.process)) {
        if (is_same(*known, event)) {
            return;
        }
        retire(*known);
    }
    if (parent == nullptr) {
        child_of_root(event);
        return;
    }
    if (Process* child = insert(
            event, parent->has(process_dead) ? forest_.intern(table_.places(*parent)) : parent->membership)) {
        child->flags |= parent->flags & process_helper;
        observer_.on_fork(parent, *child);
    }
}

// Its number has been given to another process, so it is gone, and with it whatever had not been heard of it.
void Lineage::retire(Process& process) {
    if (!process.has(process_dead)) {
        died(process, nullptr);
    }
    if (Process* still = table_.find(process.id()); still != nullptr && still == &process) {
        ledger_.collect(*still);
    }
}

Process* Lineage::insert(const Event& event, grouping::MembershipId membership) {
    const auto stat = look_at(event);
    auto inserted = table_.insert({event.process, stat ? stat->start_time : 0}, event.parent, membership);
    if (!inserted) {
        observer_.on_refused(event.process);
        return nullptr;
    }
    Process& process = **inserted;
    if (stat) {
        process.session = stat->session;
        process.group = stat->process_group;
    }
    if (event.count > 1) {  // met by a sweep; where events are told, those of its threads are still to come
        process.threads = event.count;
        process.flags |= process_recount;
    }
    return &process;
}

void Lineage::child_of_root(const Event& event) {
    Attributor::Answer answer;
    std::uint32_t flags = process_orphan;
    if (const auto meant = origins_.intent(event.process)) {
        answer = {Attribution::intent, *meant};
        flags = process_service;
    } else if (const auto stat = look_at(event)) {
        answer = attributor_.attribute(event.process, *stat);
    }
    Process* process = insert(event, answer.membership);
    if (process == nullptr) {
        return;
    }
    process->flags |= flags;
    remember(*process, answer.how);
    if (answer.how == Attribution::nobody || answer.how == Attribution::helper) {
        process->flags |= process_stray;
    }
    if (answer.how == Attribution::helper) {
        process->flags |= process_helper;
    }
    observer_.on_fork(nullptr, *process);
    if (answer.how != Attribution::intent) {
        observer_.on_attributed(*process, answer.how);
    }
}

base::Result<Process*> Lineage::born(pid_t pid, grouping::MembershipId membership) {
    const auto stat = files_.stat(pid);
    if (!stat) {
        return base::fail(stat.error().code, "record", "process " + std::to_string(pid));
    }
    if (Process* known = table_.find(pid)) {
        if (known->start_time == stat->start_time && !known->has(process_dead)) {
            known->flags |= process_service;
            return known;
        }
        retire(*known);
    }
    auto inserted = table_.insert(stat->id(), table_.root(), membership);
    if (inserted) {
        (*inserted)->session = stat->session;
        (*inserted)->group = stat->process_group;
        (*inserted)->flags |= process_service;
        observer_.on_fork(nullptr, **inserted);
    }
    return inserted;
}

void Lineage::executed(Process& process) {
    process.threads = 1;
    process.flags &= ~static_cast<std::uint32_t>(process_recount | process_reaping_known);
    if (process.has(process_stray)) {
        // A stray's new image may say more: a helper's its environment, a member's its marker.
        if (const auto stat = files_.stat(process.pid)) {
            const auto answer = attributor_.attribute(process.pid, *stat);
            if (answer.how == Attribution::helper) {
                process.flags |= process_helper;
            } else if (answer.how != Attribution::nobody) {
                ledger_.before_move(process);
                table_.move(process, answer.membership);
                process.flags &= ~static_cast<std::uint32_t>(process_stray | process_helper);
                remember(process, answer.how);
                observer_.on_attributed(process, answer.how);
            }
        }
    }
    observer_.on_exec(process);
}

void Lineage::session_started(Process& process) {
    process.session = process.pid;
    process.group = process.pid;
}

void Lineage::thread_exited(Process& process, const Event& event) {
    ledger_.thread_ended(process, event.run_ns, event.tick_ns);
    if (process.threads > 0) {
        --process.threads;
    }
    if (process.threads > 0 && !process.has(process_recount)) {
        return;
    }
    const auto stat = files_.stat(process.pid);
    if (!stat || stat->start_time != process.start_time) {
        died(process, nullptr);
    } else if (stat->ended()) {
        died(process, &*stat);
    } else {
        process.threads = stat->threads;
        process.flags |= process_recount;
    }
}

void Lineage::certainly_dead(Process& process) {
    const auto stat = files_.stat(process.pid);
    const bool is_zombie = stat && stat->start_time == process.start_time;
    died(process, is_zombie ? &*stat : nullptr);
}

// Descendants that the table has alive and /proc has not: their ends were not told. Parents first.
std::vector<base::ProcessId> Lineage::vanished_below(const Process& process) {
    std::vector<base::ProcessId> found;
    pid_t parent = process.pid;
    for (std::size_t next = 0;; ++next) {
        table_.for_each_child(parent, [&](const Process& child) {
            if (!child.has(process_dead) && ledger_.vanished(child)) {
                found.push_back(child.id());
            }
        });
        if (next == found.size()) {
            return found;
        }
        parent = found[next].pid;
    }
}

// Whoever of its children is gone without a word was waited for by it: that must be known before its own
// total is.
void Lineage::died(Process& process, const sys::ProcStat* zombie) {
    const auto below = vanished_below(process);
    for (auto id = below.rbegin(); id != below.rend(); ++id) {
        if (Process* child = table_.find(*id)) {
            bury(*child, nullptr);
        }
    }
    bury(process, zombie);
    flush_emptied();
}

void Lineage::bury(Process& process, const sys::ProcStat* zombie) {
    observer_.on_exit(process);
    ledger_.dead(process, zombie);
    const pid_t pid = process.pid;
    if (zombie != nullptr && zombie->parent != process.parent) {
        table_.reparent(process, zombie->parent);
    }
    table_.mark_dead(process);
    reparent_children(pid);
    if (zombie == nullptr && ledger_.vanished(process)) {
        ledger_.collect(process);
    }
}

// Where the kernel has put the children of a process that is gone: gpc-init, or a subreaper on the way to it.
void Lineage::reparent_children(pid_t parent) {
    std::vector<base::ProcessId> children;
    table_.for_each_child(parent, [&](const Process& child) { children.push_back(child.id()); });
    for (const auto& id : children) {
        Process* child = table_.find(id);
        const auto stat = files_.stat(id.pid);
        if (child == nullptr) {
            continue;
        }
        const bool known = stat && (id.start_time == 0 || stat->start_time == id.start_time);
        const pid_t to = known ? stat->parent : table_.root();
        if (to != parent) {
            table_.reparent(*child, to);
        }
    }
}

grouping::Places Lineage::places_of_unknown(const wire::ExitRecord& record) {
    if (const auto meant = origins_.intent(record.pid)) {
        return forest_.places(*meant);
    }
    return attributor_.places_of_session(record.session).value_or(forest_.places(grouping::MembershipId{}));
}

void Lineage::flush_emptied() {
    for (const grouping::GroupId group : forest_.take_emptied()) {
        observer_.on_emptied(group);
    }
}

base::Result<> Lineage::resync() {
    Sweep sweep(table_, files_);
    return sweep.run(*this);
}

}  // namespace gpcsup::processes
