#include "processes/world.h"

#include <fcntl.h>
#include <unistd.h>

#include <catch2/catch.hpp>

namespace gpcsup::tests {

using processes::Event;
using processes::EventKind;

World::World() : ring(std::make_unique<wire::ExitRing>()) {
    origins.forest = &forest;
    const std::vector<std::string> controllers{"cpuacct"};
    hierarchy = forest.create_hierarchy("acct", controllers).value();
    root_group = forest.hierarchy(hierarchy)->root;
    for (const char* name : {"a", "b", "c"}) {
        REQUIRE(forest.create_group(root_group, name));
    }
    auto created = processes::ProcessTable::create(forest, init);
    REQUIRE(created);
    table = std::move(*created);
    build();
}

void World::build() {
    ledger = std::make_unique<processes::Ledger>(*table, machine, machine);
    lineage = std::make_unique<processes::Lineage>(forest, *table, *ledger, machine, origins, observer);
    tracker = std::make_unique<FakeTracker>(*lineage);
    reader = std::make_unique<processes::ExitReader>(
        *ring, *table, *lineage, *ledger,
        [this](const wire::ExitRecord& record, const processes::Process*) { reaped.push_back(record); });
}

void World::successor() {
    base::Fd kept(::fcntl(table->descriptor(), F_DUPFD_CLOEXEC, 3));
    table->for_each([this](processes::Process& process) {
        if (!process.has(processes::process_dead)) {
            forest.release(process.membership);  // as a fresh forest would have it
        }
    });
    (void)forest.take_emptied();
    auto adopted = processes::ProcessTable::adopt(forest, std::move(kept), init);
    REQUIRE(adopted);
    table = std::move(*adopted);
    auto queue = std::move(tracker);
    build();
    // gpc-init keeps the connector: what is queued there is still to come.
    tracker->set_quality(queue->quality());
    tracker->inherit(*queue);
    reader->drain(*tracker).value();
    REQUIRE(lineage->resync());
}

grouping::Places World::places(std::string_view name) {
    grouping::Places places{};
    places[hierarchy.value] = name.empty() ? root_group : group(name);
    return places;
}

pid_t World::service(std::string_view group_name) {
    const pid_t pid = machine.fork(init);
    machine.at(pid).session = machine.at(pid).group = pid;
    machine.at(pid).environment = "";
    origins.intents[pid] = places(group_name);
    where_[pid] = group_name;
    tracker->push({.kind = EventKind::fork, .process = pid, .thread = pid, .parent = init});
    return pid;
}

pid_t World::fork(pid_t parent) {
    const pid_t pid = machine.fork(parent);
    where_[pid] = where_[parent];
    tracker->push({.kind = EventKind::fork, .process = pid, .thread = pid, .parent = parent});
    return pid;
}

pid_t World::clone_parent(pid_t caller) {
    const pid_t pid = machine.fork(caller);
    machine.at(pid).parent = machine.at(caller).parent;
    where_[pid] = where_[caller];
    tracker->push(
        {.kind = EventKind::fork, .process = pid, .thread = pid, .parent = machine.at(caller).parent});
    return pid;
}

void World::run(pid_t pid, milliseconds user, milliseconds system) {
    run_ns(pid, static_cast<std::uint64_t>(user.count()) * 1'000'000,
           static_cast<std::uint64_t>(system.count()) * 1'000'000);
}

void World::run_ns(pid_t pid, std::uint64_t user, std::uint64_t system) {
    machine.run(pid, std::chrono::nanoseconds(user), std::chrono::nanoseconds(system));
    spent_[where_[pid]] += user + system;
}

void World::exec(pid_t pid) {
    machine.at(pid).threads = 1;
    tracker->push({.kind = EventKind::exec, .process = pid, .thread = pid});
}

void World::start_thread(pid_t pid) {
    ++machine.at(pid).threads;
    tracker->push({.kind = EventKind::thread_start, .process = pid, .thread = next_thread_++});
}

void World::end_thread(pid_t pid, pid_t thread) {
    auto& task = machine.at(pid);
    if (thread == pid) {
        task.state = 'Z';  // the leader stays as an entry, and is not counted out before the last one
    } else {
        --task.threads;
    }
    tracker->push({.kind = EventKind::thread_exit, .process = pid, .thread = thread});
}

void World::exit(pid_t pid) {
    if (machine.at(pid).state == 'Z') {
        machine.at(pid).state = 'R';
    }
    for (; machine.at(pid).threads > 1; --machine.at(pid).threads) {
        tracker->push({.kind = EventKind::thread_exit, .process = pid, .thread = next_thread_++});
    }
    machine.exit(pid);
    tracker->push({.kind = EventKind::thread_exit, .process = pid, .thread = pid});
    reap_as_init();
}

void World::wait(pid_t pid) {
    machine.wait(pid);
    where_.erase(pid);
}

void World::record(const sys::FakeMachine::Task& task) {
    wire::ExitRecord& record = ring->records[ring->head % wire::exit_ring_capacity];
    record = {.sequence = ring->head,
              .monotonic_ns = 0,
              .start_time = task.start_time,
              .clock_ns = task.own_ns(),
              .user_us = (task.user_ns + task.children_user_ns) / 1000,
              .system_us = (task.system_ns + task.children_system_ns) / 1000,
              .max_rss_kib = 0,
              .pid = task.pid,
              .code = 1,
              .status = 0,
              .session = task.session};
    ++ring->head;
}

void World::reap_as_init() {
    std::vector<pid_t> zombies;
    for (const auto& [pid, task] : machine.all()) {
        if (task.parent == init && task.state == 'Z' && task.threads == 1) {
            zombies.push_back(pid);
        }
    }
    for (const pid_t pid : zombies) {
        if (ring->head - ring->tail >= wire::exit_ring_capacity) {
            return;  // a full ring leaves them unreaped
        }
        record(machine.at(pid));
        machine.wait(pid);
    }
}

void World::move(pid_t pid, std::string_view group_name) {
    tracker->drain().value();
    processes::Process* process = table->find(pid);
    REQUIRE(process != nullptr);
    ledger->before_move(*process);
    table->move(*process, in(group_name));
    where_[pid] = group_name;
    lineage->flush_emptied();
}

void World::settle() {
    for (int round = 0; round < 2; ++round) {
        tracker->drain().value();
        reader->drain(*tracker).value();
        reap_as_init();
        reader->drain(*tracker).value();
        if (tracker->quality() == processes::TrackingQuality::sampled) {
            REQUIRE(lineage->resync());
        }
        ledger->settle_round();
    }
}

processes::CpuTime World::usage(std::string_view name) {
    const auto id = name.empty() ? root_group : group(name);
    ledger->sample_members(id);
    return table->books().usage(id);
}

std::uint64_t World::spent() const {
    std::uint64_t sum = 0;
    for (const auto& [name, time] : spent_) {
        sum += time;
    }
    return sum;
}

std::string World::place(pid_t pid) {
    const processes::Process* process = table->find(pid);
    return process == nullptr ? "?" : forest.group(table->place(*process, hierarchy))->name;
}

}  // namespace gpcsup::tests
