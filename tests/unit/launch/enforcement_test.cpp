// gpcsupd's side of the table together with gpc-enforce's arithmetic: the two ends of one layout.

#include "enforcement/admission.h"
#include "enforcement/flights.h"

#include <unistd.h>
#include <catch2/catch.hpp>
#include <cerrno>
#include <map>
#include <random>

#include "launch/affinity_calls.h"
#include "launch/enforcement_table.h"
#include "launch/recount.h"

namespace launch = gpcsup::launch;
namespace wire = gpcsup::wire;
namespace enforcement = gpcsup::enforcement;
using wire::BudgetKind;

namespace {

// 1 is the root, 2 and 3 below it, 4 below 2.
launch::GroupKey parent_of(launch::GroupKey group) {
    const std::map<launch::GroupKey, launch::GroupKey> parents = {{2, 1}, {3, 1}, {4, 2}};
    const auto found = parents.find(group);
    return found == parents.end() ? 0 : found->second;
}

std::unique_ptr<launch::EnforcementClient> make_client() {
    auto client = launch::EnforcementClient::create(parent_of);
    REQUIRE(client.has_value());
    return std::move(*client);
}

launch::BudgetRow publish(launch::EnforcementClient& client, launch::GroupKey group, std::uint64_t limit,
                          BudgetKind kind = BudgetKind::tasks) {
    const auto row = client.publish({group, kind, limit, EAGAIN});
    REQUIRE(row.has_value());
    return *row;
}

void count(launch::EnforcementClient& client, launch::BudgetRow row, std::uint64_t held) {
    client.publish_count(row, {held, client.budget(row).issued.load(), launch::monotonic_ns()});
}

// A request waits on it.
void recount(launch::EnforcementClient& client, launch::Recounter& recounter, launch::BudgetRow row) {
    client.budget(row).recount_wanted.store(launch::monotonic_ns());
    recounter.run();
}

std::map<launch::GroupKey, std::uint64_t> no_groups(launch::GroupKey) {
    FAIL("nothing is guaranteed");
    return {};
}

class ScriptedProbe final : public launch::ThreadProbe {
  public:
    launch::ThreadState look(pid_t tid, std::uint32_t, std::uint64_t) override {
        ++looks;
        return states.contains(tid) ? states.at(tid) : launch::ThreadState::gone;
    }
    std::map<pid_t, launch::ThreadState> states;
    int looks = 0;
};

}  // namespace

TEST_CASE("a new budget is full until it has been counted") {
    const auto client = make_client();
    const auto row = publish(*client, 2, 10);
    CHECK(enforcement::find_full(client->table(), {row.value, wire::no_row}) == row.value);
    count(*client, row, 9);
    CHECK(enforcement::find_full(client->table(), {row.value, wire::no_row}) == wire::no_row);
    count(*client, row, 10);
    CHECK(enforcement::find_full(client->table(), {row.value, wire::no_row}) == row.value);
}

TEST_CASE("a reservation counts on every level at once") {
    const auto client = make_client();
    const auto top = publish(*client, 1, 5);
    const auto leaf = publish(*client, 4, 3);
    count(*client, top, 0);
    count(*client, leaf, 0);
    const enforcement::Leaves leaves{leaf.value, wire::no_row};
    for (int i = 0; i < 3; ++i) {
        REQUIRE(enforcement::find_full(client->table(), leaves) == wire::no_row);
        enforcement::reserve(client->table(), leaves);
    }
    CHECK(enforcement::find_full(client->table(), leaves) == leaf.value);
    CHECK(enforcement::bound(client->budget(top)) == 3);
    CHECK(enforcement::bound(client->budget(leaf)) == 3);
    client->publish({4, BudgetKind::tasks, 100, EAGAIN}).value();
    enforcement::reserve(client->table(), leaves);
    enforcement::reserve(client->table(), leaves);
    CHECK(enforcement::find_full(client->table(), leaves) == top.value);
}

TEST_CASE("a rate is of a window on every level, and what is refused costs nothing") {
    const auto client = make_client();
    const auto top = publish(*client, 1, wire::unlimited);
    const auto leaf = publish(*client, 4, wire::unlimited);
    const auto beside = publish(*client, 3, wire::unlimited);
    client->set_rate(top, 5, 1000);
    client->set_rate(leaf, 3, 1000);
    const auto try_at = [&](launch::BudgetRow row, std::uint64_t now) {
        const std::uint32_t spent = enforcement::find_spent(client->table(), row.value, now);
        if (spent == wire::no_row) {
            enforcement::spend(client->table(), row.value, now);
        }
        return spent;
    };
    for (std::uint64_t now = 100; now < 103; ++now) {
        CHECK(try_at(leaf, now) == wire::no_row);
    }
    CHECK(try_at(leaf, 200) == leaf.value);
    CHECK(try_at(beside, 201) == wire::no_row);
    CHECK(try_at(beside, 202) == wire::no_row);
    CHECK(try_at(beside, 203) == top.value);
    CHECK(client->budget(top).rate_used.load() == 5);
    CHECK(try_at(leaf, 1099) == leaf.value);
    CHECK(try_at(leaf, 1100) == wire::no_row);  // a window later, for both
    CHECK(client->budget(top).rate_used.load() == 1);
    client->set_rate(leaf, 3, 1000);  // the same: its window goes on
    CHECK(client->budget(leaf).rate_began_ns.load() == 1100);
    client->set_rate(leaf, 0, 1000);
    CHECK(try_at(leaf, 9000) == leaf.value);
    client->set_rate(leaf, wire::unlimited, 0);
    CHECK(try_at(leaf, 9000) == wire::no_row);
}

TEST_CASE("what a limit refuses costs its part of a rate that says so, and of no other") {
    const auto client = make_client();
    const auto top = publish(*client, 1, wire::unlimited);
    const auto leaf = publish(*client, 4, wire::unlimited);
    client->set_rate(top, 5, 1000);
    client->set_rate(leaf, 2, 1000, wire::RateSpends::asked);
    enforcement::spend(client->table(), leaf.value, 100, wire::RateSpends::asked);
    CHECK(client->budget(leaf).rate_used.load() == 1);
    CHECK(client->budget(top).rate_began_ns.load() == 0);
    enforcement::spend(client->table(), leaf.value, 101);
    CHECK(enforcement::find_spent(client->table(), leaf.value, 102) == leaf.value);
    CHECK(client->budget(top).rate_used.load() == 1);
    client->set_rate(leaf, 2, 1000);
    enforcement::spend(client->table(), leaf.value, 2000, wire::RateSpends::asked);
    CHECK(enforcement::find_spent(client->table(), leaf.value, 2001) == wire::no_row);
}

TEST_CASE("the bound survives the wrap of its counter") {
    const auto client = make_client();
    const auto row = publish(*client, 2, 10);
    client->budget(row).issued.store(UINT32_MAX - 1);
    count(*client, row, 4);
    for (int i = 0; i < 4; ++i) {
        enforcement::reserve(client->table(), {row.value, wire::no_row});
    }
    CHECK(enforcement::bound(client->budget(row)) == 8);
}

TEST_CASE("a budget that comes later takes its place in the chain, one that goes leaves it whole") {
    const auto client = make_client();
    const auto top = publish(*client, 1, 100);
    const auto leaf = publish(*client, 4, 100);
    REQUIRE(client->set_domain(77, {4, 0, 0}).has_value());
    REQUIRE(client->set_domain(78, {2, 0, 0}).has_value());
    const auto domain_row = [&](std::uint64_t key) {
        for (const wire::Domain& domain : client->table().domains) {
            if (domain.key.load() == key) {
                return domain.budget[static_cast<int>(wire::TrapClass::task)].load();
            }
        }
        return wire::no_row;
    };
    CHECK(client->budget(leaf).parent.load() == top.value);
    CHECK(domain_row(77) == leaf.value);
    CHECK(domain_row(78) == top.value);
    const auto middle = publish(*client, 2, 100);
    CHECK(client->budget(leaf).parent.load() == middle.value);
    CHECK(client->budget(middle).parent.load() == top.value);
    CHECK(domain_row(78) == middle.value);
    client->retire(middle);
    CHECK(client->budget(leaf).parent.load() == top.value);
    CHECK(domain_row(78) == top.value);
    // A decision taken from the old domain row still climbs to the living.
    enforcement::reserve(client->table(), {middle.value, wire::no_row});
    CHECK(client->budget(top).issued.load() == 1);
    CHECK(client->budget(middle).issued.load() == 0);
    client->retire(leaf);
    CHECK(domain_row(77) == top.value);
}

TEST_CASE("kinds do not mix") {
    const auto client = make_client();
    const auto tasks = publish(*client, 2, 100);
    const auto processes = publish(*client, 2, 10, BudgetKind::processes);
    const auto leaf = publish(*client, 4, 10, BudgetKind::processes);
    CHECK(client->budget(leaf).parent.load() == processes.value);
    CHECK(client->nearest(4, BudgetKind::tasks) == tasks);
    CHECK(client->nearest(4, BudgetKind::processes) == leaf);
    CHECK_FALSE(client->nearest(4, BudgetKind::files).has_value());
}

TEST_CASE("a successor finds the budgets and ends those that nobody claims") {
    auto client = make_client();
    const auto kept = publish(*client, 2, 10);
    const auto lost = publish(*client, 3, 20);
    client->set_domain(77, {3, 0, 0}).value();
    client->set_override(4711, 77, {2, 0, 0}).value();
    count(*client, kept, 4);
    gpcsup::base::Fd copy(dup(client->descriptor()));
    client.reset();
    auto adopted = launch::EnforcementClient::adopt(std::move(copy), parent_of);
    REQUIRE(adopted.has_value());
    auto& successor = **adopted;
    CHECK(publish(successor, 2, 11) == kept);
    CHECK(enforcement::bound(successor.budget(kept)) == 4);
    CHECK(successor.budget(lost).key.load() == 3);
    successor.set_domain(77, {3, 0, 0}).value();
    successor.set_override(4711, 77, {2, 0, 0}).value();
    successor.retire_unclaimed();
    CHECK(successor.budget(lost).key.load() == 0);
    CHECK(successor.table().overrides[4711 % wire::override_count].pid.load() == 4711);
    successor.remove_override(4711);
    CHECK(successor.table().overrides[4711 % wire::override_count].pid.load() == 0);
}

TEST_CASE("the recount holds what may still become a child, and settles the rest") {
    const auto client = make_client();
    const auto row = publish(*client, 2, 100);
    count(*client, row, 0);
    auto& table = client->table();
    const enforcement::Leaves leaves{row.value, wire::no_row};
    for (const std::uint32_t tid : {100U, 101U, 102U, 103U}) {
        enforcement::write_flight(*enforcement::find_free_flight(table, tid), tid, 57, leaves,
                                  launch::monotonic_ns());
        enforcement::reserve(table, leaves);
    }
    ScriptedProbe probe;
    probe.states = {{100, launch::ThreadState::in_call},
                    {101, launch::ThreadState::running},
                    {102, launch::ThreadState::elsewhere}};
    std::uint64_t members = 7;
    launch::Recounter recounter(
        *client, probe,
        [&](launch::GroupKey group, BudgetKind) {
            CHECK(group == 2);
            return members;
        },
        no_groups);
    recount(*client, recounter, row);
    CHECK(enforcement::bound(client->budget(row)) == 9);
    CHECK(probe.looks == 4);
    recount(*client, recounter, row);
    CHECK(probe.looks == 6);  // the settled ones are not looked at again

    recounter.note_fork(101, launch::monotonic_ns());
    recount(*client, recounter, row);
    CHECK(enforcement::bound(client->budget(row)) == 8);
    CHECK(probe.looks == 7);
    // The same thread forks again: its entry is open again, whatever was noted before.
    enforcement::forget_flight(table, 101);
    enforcement::write_flight(*enforcement::find_free_flight(table, 101), 101, 57, leaves,
                              launch::monotonic_ns());
    recount(*client, recounter, row);
    CHECK(enforcement::bound(client->budget(row)) == 9);
}

TEST_CASE("what is let go on during the count is not lost") {
    const auto client = make_client();
    const auto row = publish(*client, 2, 100);
    count(*client, row, 0);
    ScriptedProbe probe;
    launch::Recounter recounter(
        *client, probe,
        [&](launch::GroupKey, BudgetKind) {
            enforcement::reserve(client->table(), {row.value, wire::no_row});
            return std::uint64_t{5};
        },
        no_groups);
    recount(*client, recounter, row);
    CHECK(enforcement::bound(client->budget(row)) == 6);
}

// 2 has 20; of these 8 are kept for 4, and 3 for 5. 6 is in 2 and has nothing kept.
TEST_CASE("whatever is guaranteed is there whenever it is wanted, and the sum is never more than the limit") {
    const std::map<launch::GroupKey, launch::GroupKey> above = {{2, 1}, {4, 2}, {5, 2}, {6, 2}, {7, 4}};
    const auto client = std::move(*launch::EnforcementClient::create([&](launch::GroupKey group) {
        return above.contains(group) ? above.at(group) : launch::GroupKey{0};
    }));
    std::map<launch::GroupKey, launch::BudgetRow> row;
    std::map<launch::GroupKey, std::uint64_t> guarantee = {{4, 8}, {5, 3}};
    row[2] = publish(*client, 2, 20);
    for (const launch::GroupKey group : {4U, 5U}) {
        row[group] = publish(*client, group, group == 5 ? 9 : wire::unlimited);
        client->set_guarantee(row[group], guarantee[group]);
    }
    std::map<launch::GroupKey, std::uint64_t> tasks;  // of the group itself
    ScriptedProbe probe;
    launch::Recounter recounter(
        *client, probe,
        [&](launch::GroupKey group, BudgetKind) {
            return group == 4 ? tasks[4] + tasks[7] : tasks[group];  // of rows that nothing below is kept for
        },
        [&](launch::GroupKey top) {
            CHECK(top == 2);
            return tasks;
        });
    const auto leaves_of = [&](launch::GroupKey group) {
        return enforcement::Leaves{client->nearest(group, BudgetKind::tasks)->value, wire::no_row};
    };
    // What is used of 2 by the book: nobody else can have what is kept.
    const auto charged = [&] {
        return tasks[2] + tasks[6] + std::max(guarantee[4], tasks[4] + tasks[7]) +
               std::max(guarantee[5], tasks[5]);
    };
    std::mt19937 random(20061123);
    unsigned lent = 0;
    for (unsigned step = 0; step < 20'000; ++step) {
        const launch::GroupKey group = std::array<launch::GroupKey, 5>{2, 4, 5, 6, 7}[random() % 5];
        if (random() % 4 == 0) {
            tasks[group] -= tasks[group] > 0 ? 1 : 0;  // an end, which nobody tells the table
            continue;
        }
        const enforcement::Leaves leaves = leaves_of(group);
        std::uint32_t full = enforcement::find_full(client->table(), leaves);
        for (unsigned look = 0; full != wire::no_row && look < 3; ++look) {
            recount(*client, recounter, launch::BudgetRow(full));
            full = enforcement::find_full(client->table(), leaves);
        }
        std::map<launch::GroupKey, std::uint64_t> before = tasks;
        const std::uint64_t book = charged();
        ++tasks[group];
        const bool fits = charged() <= 20 && tasks[5] <= 9;
        INFO("step " << step << ", group " << group << ", charged " << book);
        REQUIRE((full == wire::no_row) == fits);
        if (!fits) {
            tasks = before;
            continue;
        }
        lent += tasks[4] + tasks[7] > 8 ? 1 : 0;
        enforcement::reserve(client->table(), leaves);
        REQUIRE(tasks[2] + tasks[4] + tasks[5] + tasks[6] + tasks[7] <= 20);
    }
    CHECK(lent > 100);
    // More is promised: the row above is counted before it lets anybody in.
    tasks = {{6, 12}};
    recount(*client, recounter, row[2]);
    CHECK(enforcement::bound(client->budget(row[2])) == 23);  // over: what is there stays
    tasks = {{6, 9}};
    recount(*client, recounter, row[2]);
    CHECK(enforcement::find_full(client->table(), leaves_of(6)) == row[2].value);
    CHECK(enforcement::find_full(client->table(), leaves_of(7)) == wire::no_row);
    client->set_guarantee(row[4], 0);
    recount(*client, recounter, row[2]);
    CHECK(enforcement::find_full(client->table(), leaves_of(6)) == wire::no_row);
    client->set_guarantee(row[4], 2);
    CHECK(enforcement::find_full(client->table(), leaves_of(6)) == row[2].value);
    recount(*client, recounter, row[2]);
    CHECK(enforcement::bound(client->budget(row[2])) == 9 + 2 + 3);
    // A successor knows what is kept, and a retired row keeps nothing.
    client->retire(row[4]);
    client->retire(row[5]);
    CHECK_FALSE(client->has_guarantees());
}

TEST_CASE("run counts exactly the rows on which someone waits") {
    const auto client = make_client();
    const auto wanted = publish(*client, 2, 100);
    const auto other = publish(*client, 3, 100);
    count(*client, wanted, 0);
    count(*client, other, 0);
    ScriptedProbe probe;
    std::vector<launch::GroupKey> asked;
    launch::Recounter recounter(
        *client, probe,
        [&](launch::GroupKey group, BudgetKind) {
            asked.push_back(group);
            return std::uint64_t{1};
        },
        no_groups);
    recounter.run();
    CHECK(asked.empty());
    client->budget(wanted).recount_wanted.store(launch::monotonic_ns());
    recounter.run();
    CHECK(asked == std::vector<launch::GroupKey>{2});
    recounter.run();
    CHECK(asked.size() == 1);
}

TEST_CASE("a crowded neighbourhood asks instead of forgetting") {
    const auto client = make_client();
    auto& table = client->table();
    const auto self =
        static_cast<std::uint32_t>(gettid());  // a thread that exists: nothing of its may be thrown away
    for (std::uint32_t probe = 0; probe < wire::flight_probes; ++probe) {
        auto& flight = table.flights[(9000 + probe) % wire::flight_count];
        enforcement::write_flight(flight, self, 57, {}, 1);
    }
    CHECK(enforcement::find_free_flight(table, 9000) == nullptr);
    table.flights[9003 % wire::flight_count].resolved_ns.store(2);
    CHECK(enforcement::find_free_flight(table, 9000) == &table.flights[9003 % wire::flight_count]);
}

TEST_CASE("refusals are read once each, and a gap shows") {
    const auto client = make_client();
    auto& table = client->table();
    const auto add = [&](std::uint64_t sequence) {
        auto& refusal = table.refusal[sequence % wire::refusal_count];
        refusal.tid = static_cast<std::uint32_t>(sequence);
        refusal.row = 0;
        refusal.key = 2;
        refusal.sequence.store(sequence);
        table.refusals.store(sequence);
    };
    add(1);
    add(2);
    CHECK(client->read_refusals().size() == 2);
    CHECK(client->read_refusals().empty());
    for (std::uint64_t sequence = 3; sequence < 403; ++sequence) {
        add(sequence);
    }
    const auto late = client->read_refusals();
    CHECK(late.size() == wire::refusal_count);
    CHECK(late.front().sequence == 402 - wire::refusal_count + 1);
    CHECK(late.back().sequence == 402);
}

TEST_CASE("storms are told from single refusals") {
    wire::Budget budget{};
    constexpr std::uint64_t second = 1'000'000'000;
    for (int i = 0; i < 100; ++i) {
        enforcement::count_refusal(budget, 50 * second);
    }
    CHECK_FALSE(enforcement::storming(budget, 50 * second));
    enforcement::count_refusal(budget, 50 * second);
    CHECK(enforcement::storming(budget, 50 * second));
    CHECK(enforcement::storming(budget, 51 * second));
    CHECK_FALSE(enforcement::storming(budget, 52 * second));
}

TEST_CASE("a verdict meant for an earlier request does not reach the next one") {
    const auto client = make_client();
    auto& pending = client->table().pending[3];
    pending.trap_class.store(static_cast<std::uint32_t>(wire::TrapClass::affinity));
    pending.notification.id = 1000;
    pending.state.store(static_cast<std::uint32_t>(wire::PendingState::parked));
    const auto calls = client->take_parked();
    REQUIRE(calls.size() == 1);
    CHECK(client->take_parked().empty());
    pending.notification.id = 1001;  // the first caller died, another took the slot
    client->answer(calls[0], {launch::Verdict::Kind::value, 0, 0});
    CHECK(pending.answered_id.load() != pending.notification.id);
}

namespace {

class AnyCpu final : public launch::AffinityRules {
  public:
    gpcsup::base::Result<gpcsup::base::CpuList> allowed(pid_t, pid_t) override {
        return gpcsup::base::CpuList::up_to(64);
    }
    void granted(pid_t, const gpcsup::base::CpuList&, const gpcsup::base::CpuList&) override {}
    void reapply(pid_t target) override { reapplied.push_back(target); }
    std::vector<pid_t> reapplied;
};

}  // namespace

TEST_CASE("a mask that cannot be read for want of a reader is no fault of its caller") {
    const auto client = make_client();
    auto& pending = client->table().pending[0];
    pending.trap_class.store(static_cast<std::uint32_t>(wire::TrapClass::affinity));
    pending.notification.id = 1;
    pending.notification.pid = static_cast<std::uint32_t>(getpid());
    pending.notification.data.args[1] = 8;
    pending.state.store(static_cast<std::uint32_t>(wire::PendingState::parked));
    launch::ReaderPool pool("/no/such/program");
    AnyCpu rules;
    launch::AffinityCalls affinity(*client, pool, rules);
    for (const launch::ParkedCall& call : client->take_parked()) {
        affinity.take(call);
    }
    CHECK(pending.answered_id.load() == 1);
    CHECK(pending.error.load() == 0);
    CHECK(pending.proceed.load() == 1);
    REQUIRE(affinity.deadline());  // and the group's mask is applied again
    affinity.on_deadline(*affinity.deadline());
    CHECK(rules.reapplied == std::vector{getpid()});
}

TEST_CASE("members that come without a fork are known before they are there") {
    const auto client = make_client();
    const auto top = publish(*client, 1, 100);
    const auto leaf = publish(*client, 2, 100);
    const auto processes = publish(*client, 2, 100, BudgetKind::processes);
    for (const auto row : {top, leaf, processes}) {
        count(*client, row, 10);
    }
    client->set_domain(77, {2, 2, 2}).value();  // a start: one task, one process
    CHECK(enforcement::bound(client->budget(top)) == 11);
    CHECK(enforcement::bound(client->budget(leaf)) == 11);
    CHECK(enforcement::bound(client->budget(processes)) == 11);
    client->set_domain(77, {2, 2, 2}).value();  // said again: nothing new
    CHECK(enforcement::bound(client->budget(leaf)) == 11);
    client->charge({2, 2, 2}, {4, 1});
    CHECK(enforcement::bound(client->budget(leaf)) == 15);
    CHECK(enforcement::bound(client->budget(processes)) == 12);
}

TEST_CASE("a move makes the budgets of its destination be counted before anyone is let in") {
    const auto client = make_client();
    const auto from = publish(*client, 2, 100);
    const auto to = publish(*client, 3, 100);
    count(*client, from, 10);
    count(*client, to, 10);
    client->set_domain(77, {2, 0, 0}).value();
    client->set_override(4711, 77, {3, 0, 0}).value();
    CHECK(enforcement::find_full(client->table(), {to.value, wire::no_row}) == to.value);
    CHECK(client->budget(to).recounted.load() == 0);
    CHECK(enforcement::find_full(client->table(), {from.value, wire::no_row}) == wire::no_row);
    count(*client, to, 11);
    client->set_override(4711, 77, {3, 0, 0}).value();
    CHECK(enforcement::find_full(client->table(), {to.value, wire::no_row}) == wire::no_row);
    client->set_domain(77, {3, 0, 0}).value();
    CHECK(enforcement::find_full(client->table(), {to.value, wire::no_row}) == to.value);
}
