#include "processes/sweep.h"

#include <limits>

namespace gpcsup::processes {
namespace {

constexpr std::size_t most_generations = 256;

}  // namespace

// Brings the table to what the stat file says about one process.
void Sweep::compare(const sys::ProcStat& stat, TrackerSink& sink) {
    const Event event{.process = stat.pid,
                      .thread = stat.pid,
                      .parent = stat.parent,
                      .count = stat.threads,
                      .start_time = stat.start_time};
    const auto tell = [&](EventKind kind) {
        Event told = event;
        told.kind = kind;
        sink.handle(told);
    };
    const Process* known = table_.find(stat.pid);
    if (known != nullptr && known->start_time != stat.start_time) {
        tell(EventKind::process_exit);  // its number has been taken by another process
        known = nullptr;
    }
    if (known == nullptr) {
        if (stat.ended() && stat.parent == table_.root()) {
            return;  // gpc-init is about to say so itself
        }
        tell(EventKind::fork);
        known = table_.find(stat.pid);
        if (known == nullptr) {
            return;  // the table is full
        }
    }
    if (known->parent != stat.parent) {
        tell(EventKind::reparent);
    }
    if (known->has(process_dead)) {
        return;
    }
    if (stat.ended()) {
        tell(EventKind::process_exit);
    } else if (known->threads != stat.threads) {
        tell(EventKind::thread_count);
    }
}

void Sweep::visit(Walk& walk, pid_t pid, TrackerSink& sink) {
    if (!walk.seen.insert(pid).second) {
        return;
    }
    const auto stat = files_.stat(pid);
    if (!stat) {
        walk.seen.erase(pid);  // gone meanwhile; if it is known, its end is told at the end
        return;
    }
    compare(*stat, sink);
    if (!stat->ended()) {
        walk.queue.push_back(pid);
    }
}

// Looks at the children of the next process in the queue; tells how many processes that were.
std::size_t Sweep::expand(Walk& walk, TrackerSink& sink) {
    const auto children = files_.children(walk.queue[walk.next++]);
    if (!children) {
        return 1;
    }
    for (const pid_t child : *children) {
        visit(walk, child, sink);
    }
    return 1 + children->size();
}

std::vector<base::ProcessId> Sweep::not_met(const Walk& walk) {
    std::vector<base::ProcessId> missing;
    table_.for_each([&](const Process& process) {
        if (!process.has(process_dead) && !walk.seen.contains(process.pid)) {
            missing.push_back(process.id());
        }
    });
    return missing;
}

// The list of children may leave some out while others exit: only the process's own file proves that it is
// gone.
void Sweep::look_for(Walk& walk, base::ProcessId id, TrackerSink& sink) {
    const Process* process = table_.find(id);
    if (process == nullptr || process->has(process_dead) || walk.seen.contains(id.pid)) {
        return;
    }
    if (const auto stat = files_.stat(id.pid)) {
        walk.seen.insert(id.pid);
        compare(*stat, sink);
        if (!stat->ended() && stat->start_time == id.start_time) {
            walk.queue.push_back(id.pid);
        }
        return;
    }
    sink.handle(Event{.kind = EventKind::process_exit, .process = id.pid, .thread = id.pid});
}

Progress Sweep::step(TrackerSink& sink, std::size_t budget) {
    if (!walk_) {
        walk_ = Walk{};
        walk_->queue.push_back(table_.root());
    }
    Walk& walk = *walk_;
    for (std::size_t used = 0; used < budget;) {
        if (walk.next < walk.queue.size()) {
            used += expand(walk, sink);
        } else if (!walk.missing) {
            walk.missing = not_met(walk);
        } else if (!walk.missing->empty()) {
            const base::ProcessId id = walk.missing->back();
            walk.missing->pop_back();
            look_for(walk, id, sink);
            ++used;
        } else {
            walk_.reset();
            sink.handle(Event{.kind = EventKind::swept});
            return Progress::empty;
        }
    }
    return Progress::more;
}

base::Result<> Sweep::run(TrackerSink& sink) {
    walk_.reset();
    auto root = files_.stat(table_.root());
    (void)step(sink, std::numeric_limits<std::size_t>::max());
    if (!root) {
        return base::pass(root);
    }
    return {};
}

void Sweep::run_below(pid_t process, TrackerSink& sink) {
    Walk walk;
    walk.seen.insert(process);
    walk.queue.push_back(process);
    while (walk.next < walk.queue.size()) {
        (void)expand(walk, sink);
    }
}

void Sweep::run_above(pid_t process, TrackerSink& sink) {
    std::vector<sys::ProcStat> line;
    for (pid_t at = process; at != table_.root();) {
        const auto stat = files_.stat(at);
        if (!stat || line.size() == most_generations) {
            return;
        }
        const Process* known = table_.find(at);
        if (known != nullptr && known->start_time == stat->start_time && !known->has(process_dead)) {
            break;
        }
        line.push_back(*stat);
        at = stat->parent;
    }
    for (auto stat = line.rbegin(); stat != line.rend(); ++stat) {
        compare(*stat, sink);
    }
}

}  // namespace gpcsup::processes
