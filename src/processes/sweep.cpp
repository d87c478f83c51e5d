#include "processes/sweep.h"

#include <unordered_set>

namespace gpcsup::processes {

struct Sweep::Walk {
    TrackerSink& sink;
    std::unordered_set<pid_t> seen;
    std::vector<pid_t> queue;
};

// Brings the table to what the stat file says about one process.
void Sweep::compare(Walk& walk, const sys::ProcStat& stat) {
    const Event event{.process = stat.pid,
                      .thread = stat.pid,
                      .parent = stat.parent,
                      .count = stat.threads,
                      .start_time = stat.start_time};
    const auto tell = [&](EventKind kind) {
        Event told = event;
        told.kind = kind;
        walk.sink.handle(told);
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

void Sweep::visit(Walk& walk, pid_t pid) {
    if (!walk.seen.insert(pid).second) {
        return;
    }
    const auto stat = files_.stat(pid);
    if (!stat) {
        walk.seen.erase(pid);  // gone meanwhile; if it is known, its end is told at the end
        return;
    }
    compare(walk, *stat);
    if (!stat->ended()) {
        walk.queue.push_back(pid);
    }
}

void Sweep::walk_from(Walk& walk, pid_t top) {
    walk.queue.push_back(top);
    for (std::size_t next = 0; next < walk.queue.size(); ++next) {
        const auto children = files_.children(walk.queue[next]);
        if (!children) {
            continue;
        }
        for (const pid_t child : *children) {
            visit(walk, child);
        }
    }
    walk.queue.clear();
}

// The list of children may leave some out while others exit: only the process's own file proves that it is
// gone.
void Sweep::check_missing(Walk& walk) {
    std::vector<base::ProcessId> missing;
    table_.for_each([&](Process& process) {
        if (!process.has(process_dead) && !walk.seen.contains(process.pid)) {
            missing.push_back(process.id());
        }
    });
    for (const auto& id : missing) {
        Process* process = table_.find(id);
        if (process == nullptr || process->has(process_dead) || walk.seen.contains(id.pid)) {
            continue;
        }
        const auto stat = files_.stat(id.pid);
        if (!stat) {
            walk.sink.handle(Event{.kind = EventKind::process_exit, .process = id.pid, .thread = id.pid});
            continue;
        }
        walk.seen.insert(id.pid);
        compare(walk, *stat);
        if (!stat->ended() && stat->start_time == id.start_time) {
            walk_from(walk, id.pid);
        }
    }
}

base::Result<> Sweep::run(TrackerSink& sink) {
    Walk walk{.sink = sink};
    auto root = files_.stat(table_.root());
    if (root) {
        walk_from(walk, table_.root());
    }
    check_missing(walk);  // also when gpc-init is gone: those who are known are to be killed then
    sink.handle(Event{.kind = EventKind::swept});
    if (!root) {
        return base::pass(root);
    }
    return {};
}

void Sweep::run_below(pid_t process, TrackerSink& sink) {
    Walk walk{.sink = sink};
    walk.seen.insert(process);
    walk_from(walk, process);
}

}  // namespace gpcsup::processes
