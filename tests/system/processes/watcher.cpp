#include "system/processes/watcher.h"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <catch2/catch.hpp>

namespace gpcsup::tests {
namespace {

base::Fd duplicate(int descriptor) {
    return base::Fd(::fcntl(descriptor, F_DUPFD_CLOEXEC, 3));
}

}  // namespace

Watcher::Watcher(Reaper& reaper, Kept& kept, Source source)
    : files(std::move(sys::RealProcFiles::open().value())), signals(files), reaper_(reaper), kept_(kept) {
    const std::vector<std::string> controllers{"cpuacct"};
    hierarchy_ = forest.create_hierarchy("acct", controllers).value();
    groups_[0] = forest.create_group(forest.hierarchy(hierarchy_)->root, "a").value();
    groups_[1] = forest.create_group(forest.hierarchy(hierarchy_)->root, "b").value();
    const bool adopts = kept_.table >= 0;
    auto opened = adopts ? processes::ProcessTable::adopt(forest, duplicate(kept_.table), reaper_.pid())
                         : processes::ProcessTable::create(forest, reaper_.pid());
    REQUIRE(opened);
    table = std::move(*opened);
    if (!adopts) {
        kept_.table = duplicate(table->descriptor()).release();
    }
    ledger = std::make_unique<processes::Ledger>(*table, files, clocks);
    lineage = std::make_unique<processes::Lineage>(forest, *table, *ledger, files, *this, *this);
    if (source == Source::connector) {
        if (kept_.connector < 0) {
            kept_.connector = sys::open_connector().value().release();
            if (auto opened_taskstats = sys::open_taskstats()) {
                kept_.taskstats = opened_taskstats->release();
            }
        }
        tracker = std::make_unique<processes::ConnectorTracker>(
            *lineage, duplicate(kept_.connector),
            kept_.taskstats >= 0 ? duplicate(kept_.taskstats) : base::Fd());
    } else {
        tracker = std::move(processes::SweepTracker::create(*lineage, *table, files).value());
    }
    ledger->set_quality(tracker->quality());
    reader = std::make_unique<processes::ExitReader>(
        reaper_.ring(), *table, *lineage, *ledger,
        [this](const wire::ExitRecord& record, const processes::Process*) {
            reaped_[record.pid] = record;
            if (record.sequence >= next_record_) {
                next_record_ = record.sequence + 1;
                reaped_total_ns_ += (record.user_us + record.system_us) * 1000;
            }
        });
    REQUIRE(reader->drain(*tracker));
    REQUIRE(lineage->resync());
}

Watcher::~Watcher() = default;

std::optional<grouping::MembershipId> Watcher::intent(pid_t pid) {
    for (std::uint32_t index = 0; index < kept_.started_count; ++index) {
        if (kept_.started[index].pid == pid) {
            return membership(kept_.started[index].group);
        }
    }
    return std::nullopt;
}

grouping::MembershipId Watcher::membership(std::uint32_t group) {
    grouping::Places places{};
    places[hierarchy_.value] = groups_[group];
    return forest.intern(places);
}

std::optional<grouping::MembershipId> Watcher::marked(std::string_view value) {
    return value == "a" ? std::optional(membership(0)) : std::nullopt;
}

void Watcher::check_monotonic() {
    for (std::uint32_t index = 0; index < 2; ++index) {
        const std::uint64_t now = usage(index);
        REQUIRE(now >= last_usage_[index]);
        last_usage_[index] = now;
    }
}

std::uint64_t Watcher::usage(std::uint32_t group) {
    ledger->sample_members(groups_[group]);
    return table->books().usage(groups_[group]).usage_ns;
}

void Watcher::watch(std::chrono::milliseconds time, pid_t until_reaped) {
    const auto deadline = clocks.monotonic() + time;
    auto next_round = clocks.monotonic();
    while (clocks.monotonic() < deadline && (until_reaped == 0 || !was_reaped(until_reaped))) {
        pollfd entry{.fd = tracker->descriptor(), .events = POLLIN, .revents = 0};
        if (::poll(&entry, 1, 20) > 0) {
            REQUIRE(tracker->on_readable(512));
        }
        REQUIRE(reader->drain(*tracker));
        if (clocks.monotonic() >= next_round) {
            ledger->settle_round();
            check_monotonic();
            next_round = clocks.monotonic() + std::chrono::milliseconds(250);
        }
    }
}

void Watcher::settle() {
    for (int round = 0; round < 2; ++round) {
        REQUIRE(tracker->drain());
        REQUIRE(reader->drain(*tracker));
        ledger->settle_round();
    }
}

}  // namespace gpcsup::tests
