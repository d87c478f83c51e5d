// Exit records: every orphan's, once, in sequence, whatever happens to gpcsupd.

#include <sched.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <map>
#include <random>
#include <set>

#include "instance.h"

namespace gpcsup::tests {

namespace {

using wire::KeepClass;
using wire::KeepVerb;

// The orphans' own reports, by pid.
class Reports {
  public:
    explicit Reports(base::Fd service) : service_(std::move(service)) {}
    void order(std::uint32_t count) {
        OrphanOrder order{ordered_, count};
        ordered_ += count;
        REQUIRE(::send(service_.get(), &order, sizeof order, MSG_NOSIGNAL) ==
                static_cast<ssize_t>(sizeof order));
    }
    void collect() {
        OrphanReport report{};
        while (recv(service_.get(), &report, sizeof report, MSG_DONTWAIT) ==
               static_cast<ssize_t>(sizeof report)) {
            by_number_[report.number] = report;
        }
    }
    [[nodiscard]] bool complete() {
        collect();
        return by_number_.size() == ordered_;
    }
    [[nodiscard]] const std::map<std::uint32_t, OrphanReport>& by_number() const { return by_number_; }

  private:
    base::Fd service_;
    std::uint32_t ordered_ = 0;
    std::map<std::uint32_t, OrphanReport> by_number_;
};

void check_records(const std::vector<wire::ExitRecord>& records, const Reports& reports,
                   std::uint64_t first_sequence) {
    std::multimap<pid_t, const wire::ExitRecord*> by_pid;
    std::uint64_t sequence = first_sequence;
    std::uint64_t monotonic = 0;
    for (const wire::ExitRecord& record : records) {
        CHECK(record.sequence == sequence++);
        CHECK(record.monotonic_ns >= monotonic);
        CHECK(record.start_time > 0);
        monotonic = record.monotonic_ns;
        by_pid.emplace(record.pid, &record);
    }
    for (const auto& [number, report] : reports.by_number()) {
        REQUIRE(by_pid.count(report.pid) == 1);
        const wire::ExitRecord& record = *by_pid.find(report.pid)->second;
        CHECK(record.code == report.code);
        CHECK(record.status == report.status);
        CHECK(record.user_us + record.system_us >= report.used_us);
        CHECK(record.user_us + record.system_us < report.used_us + 100'000);
        CHECK(record.clock_ns / 1000 + 1000 >= report.used_us);
    }
    CHECK(records.size() == reports.by_number().size());
}

}  // namespace

TEST_CASE("every orphan's exit is recorded once, although gpcsupd is killed at random moments") {
    const uid_t user = GENERATE(from_range(identities()));
    const auto seed = std::random_device{}();
    INFO("user " << user << " seed " << seed);
    std::mt19937 random(seed);
    Instance init({.user = user});
    std::optional<Part> part(init.await_helper("gpcsupd"));
    std::vector<Letter> set = part->receive_set();
    const Letter* kept = find(set, KeepClass::exit_ring);
    REQUIRE(kept != nullptr);
    Ring ring(kept->descriptor.get());
    part->send(KeepVerb::ready);

    pid_t service = 0;
    Reports reports(part->start_service(service));
    constexpr std::uint32_t orphans = 2000;
    std::vector<wire::ExitRecord> records;
    reports.order(orphans);
    int kills = 0;
    auto fold = [&] {
        for (wire::ExitRecord& record : ring.fold()) {
            records.push_back(record);
        }
    };
    const auto deadline = std::chrono::steady_clock::now() + seconds(60);
    while (records.size() < orphans && std::chrono::steady_clock::now() < deadline) {
        reports.collect();
        if (random() % 4 == 0) {
            // Between any two steps of the conversation; the records folded so far stay folded.
            if (random() % 2 == 0) {
                fold();
            }
            kill(part->pid(), SIGKILL);
            ++kills;
            part.emplace(init.await_helper("gpcsupd"));
            CHECK(part->generation() == static_cast<std::uint32_t>(kills) + 1);
            std::vector<Letter> again = part->receive_set();
            const Letter* same = find(again, KeepClass::exit_ring);
            REQUIRE(same != nullptr);
            CHECK(inode(same->descriptor.get()) == inode(kept->descriptor.get()));
            part->send(KeepVerb::ready);
            fold();
            part->send(KeepVerb::drained);
        } else if (part->await(KeepVerb::exited, milliseconds(200))) {
            fold();
            part->send(KeepVerb::drained);
        }
    }
    CHECK(kills > 3);
    REQUIRE(reports.complete());
    check_records(records, reports, 0);
    CHECK(is_alive(service));
    CHECK(count_children(init.pid(), 'Z') == 0);
}

TEST_CASE("a full ring leaves zombies and loses none") {
    Instance init;
    Part part(init.await_helper("gpcsupd"));
    std::vector<Letter> set = part.receive_set();
    Ring ring(find(set, KeepClass::exit_ring)->descriptor.get());
    part.send(KeepVerb::ready);
    pid_t service = 0;
    Reports reports(part.start_service(service));
    constexpr std::uint32_t surplus = 400;
    reports.order(wire::exit_ring_capacity + surplus);
    CHECK(await_true([&] { return reports.complete() && count_children(init.pid(), 'Z') == surplus; }));
    CHECK(ring.head() == wire::exit_ring_capacity);
    REQUIRE(part.await(KeepVerb::exited));

    SECTION("its helper is still reaped and replaced") {
        kill(part.pid(), SIGKILL);
        Part next(init.await_helper("gpcsupd"));
        next.receive_set();
        REQUIRE(next.await(KeepVerb::exited));
        std::vector<wire::ExitRecord> records = ring.fold();
        next.send(KeepVerb::drained);
        REQUIRE(next.await(KeepVerb::exited));
        CHECK(await_true([&] { return ring.head() == wire::exit_ring_capacity + surplus; }));
        for (wire::ExitRecord& record : ring.fold()) {
            records.push_back(record);
        }
        check_records(records, reports, 0);
    }
    SECTION("it goes on when drained") {
        CHECK_FALSE(part.receive(milliseconds(300)));  // one `exited` is outstanding: no other is sent
        std::vector<wire::ExitRecord> records = ring.fold();
        CHECK(records.size() == wire::exit_ring_capacity);
        part.send(KeepVerb::drained);
        REQUIRE(part.await(KeepVerb::exited));
        CHECK(await_true([&] { return ring.head() == wire::exit_ring_capacity + surplus; }));
        for (wire::ExitRecord& record : ring.fold()) {
            records.push_back(record);
        }
        check_records(records, reports, 0);
        CHECK(count_children(init.pid(), 'Z') == 0);
    }
}

TEST_CASE("thousands that end at once do not end gpc-init, which may not run for long without sleeping") {
    if (geteuid() != 0) {
        WARN("skipped: an ordinary user's is an ordinary process, without any such bound");
        return;
    }
    Instance init({.real_time_us = 40'000});
    Part part(init.await_helper("gpcsupd"));
    std::vector<Letter> set = part.receive_set();
    Ring ring(find(set, KeepClass::exit_ring)->descriptor.get());
    part.send(KeepVerb::ready);
    REQUIRE((sched_getscheduler(init.pid()) & ~SCHED_RESET_ON_FORK) == SCHED_FIFO);
    pid_t service = 0;
    Reports reports(part.start_service(service));
    constexpr std::uint32_t orphans = 3000;
    kill(init.pid(), SIGSTOP);
    reports.order(orphans);
    REQUIRE(await_true([&] { return reports.complete(); }, seconds(60)));
    CHECK(await_true([&] { return count_children(init.pid(), 'Z') == orphans; }, seconds(60)));
    kill(init.pid(), SIGCONT);
    // As quick as gpc-init is, so that the ring is never full and it never has to wait.
    std::vector<wire::ExitRecord> records;
    const auto deadline = std::chrono::steady_clock::now() + patience;
    while (records.size() < orphans && std::chrono::steady_clock::now() < deadline) {
        for (wire::ExitRecord& record : ring.fold()) {
            records.push_back(record);
        }
        if (part.await(KeepVerb::exited, milliseconds(0))) {
            part.send(KeepVerb::drained);
        }
    }
    check_records(records, reports, 0);
    CHECK(init.words().find("fatal signal") == std::string::npos);
}

}  // namespace gpcsup::tests
