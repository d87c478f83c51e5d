#include "supervisor/census.h"

#include <sys/mman.h>

#include <cerrno>
#include <set>

#include "sys/netlink.h"

namespace gpcsup::supervisor {

namespace {

constexpr std::size_t events_a_round = 256;  // then others have their turn
constexpr std::size_t most_looks = 8;        // for orphans that others leave behind while they are looked for
constexpr std::size_t crowd = 1000;          // processes: a clock is read in 0.3 µs
constexpr std::uint64_t crowd_sample_interval_ns = 1'000'000'000;
constexpr std::uint64_t settle_interval_ns =
    250'000'000;  // a round reads a file for each parent whose children died

}  // namespace

// Between tracker and lineage: gpc-enforce's flights are settled by the fork events' own times.
class Census::Relay final : public processes::TrackerSink {
  public:
    explicit Relay(Census& census) : census_(census) {}
    void handle(const processes::Event& event) override {
        if (event.parent_thread != 0 && event.timestamp_ns != 0 && census_.fork_event_) {
            census_.fork_event_(event.parent_thread, event.timestamp_ns);
        }
        census_.lineage_->handle(event);
    }

  private:
    Census& census_;
};

Census::Census(EventLoop& loop, KeeperLink& keeper, grouping::Forest& forest, CensusNews& news)
    : loop_(loop), keeper_(keeper), forest_(forest), news_(news) {}

Census::~Census() {
    if (ring_ != nullptr) {
        munmap(ring_, sizeof *ring_);
    }
}

base::Result<> Census::open(pid_t init_pid) {
    auto files = sys::RealProcFiles::open();
    if (!files) {
        return base::pass(files);
    }
    files_ = std::make_unique<sys::RealProcFiles>(std::move(*files));
    signals_ = std::make_unique<sys::RealSignals>(*files_);
    if (auto table = open_table(init_pid); !table) {
        return table;
    }
    ledger_ = std::make_unique<processes::Ledger>(*table_, *files_, clocks_);
    lineage_ = std::make_unique<processes::Lineage>(forest_, *table_, *ledger_, *files_,
                                                    static_cast<processes::Origins&>(*this),
                                                    static_cast<processes::Observer&>(*this));
    relay_ = std::make_unique<Relay>(*this);
    counter_ = std::make_unique<processes::TaskCounter>(*table_, *files_, *relay_);
    if (auto ring = open_ring(); !ring) {
        return ring;
    }
    return open_tracker();
}

// One of another version is left behind: the comparison with /proc fills a new one.
base::Result<> Census::open_table(pid_t init_pid) {
    if (base::Fd kept = keeper_.take(wire::KeepClass::process_table)) {
        auto adopted = processes::ProcessTable::adopt(forest_, std::move(kept), init_pid);
        if (adopted) {
            table_ = std::move(*adopted);
            return {};
        }
        if (adopted.error().code != EPROTO) {
            return base::pass(adopted);
        }
        lost_table_ = adopted.error();
    }
    auto made = processes::ProcessTable::create(forest_, init_pid);
    if (!made) {
        return base::pass(made);
    }
    table_ = std::move(*made);
    return keeper_.keep(wire::KeepClass::process_table, 0, "processes", table_->descriptor());
}

base::Result<> Census::open_ring() {
    ring_memory_ = keeper_.take(wire::KeepClass::exit_ring);
    void* memory =
        mmap(nullptr, sizeof(wire::ExitRing), PROT_READ | PROT_WRITE, MAP_SHARED, ring_memory_.get(), 0);
    if (memory == MAP_FAILED) {
        return base::fail(errno, "map", "gpc-init's exit ring");
    }
    ring_ = static_cast<wire::ExitRing*>(memory);
    if (ring_->version != wire::exit_ring_version) {
        return base::fail(EPROTO, "read", "gpc-init's exit ring", "use `gpcsup reexec` after an upgrade");
    }
    exits_ = std::make_unique<processes::ExitReader>(
        *ring_, *table_, *lineage_, *ledger_,
        [this](const wire::ExitRecord& record, const processes::Process* process) {
            news_.reaped(record, process);
        });
    return {};
}

base::Result<> Census::open_tracker() {
    base::Fd connector = keeper_.take(wire::KeepClass::connector);
    base::Fd taskstats = keeper_.take(wire::KeepClass::taskstats);
    if (!connector) {
        auto opened = sys::open_connector();
        if (opened) {
            connector = std::move(*opened);
            if (auto kept = keeper_.keep(wire::KeepClass::connector, 0, "connector", connector.get());
                !kept) {
                return kept;
            }
            if (auto statistics = sys::open_taskstats()) {
                taskstats = std::move(*statistics);
                if (auto kept = keeper_.keep(wire::KeepClass::taskstats, 0, "taskstats", taskstats.get());
                    !kept) {
                    return kept;
                }
            }
        } else {
            reason_ = opened.error().message();
        }
    }
    if (connector) {
        tracker_ = std::make_unique<processes::ConnectorTracker>(*relay_, std::move(connector),
                                                                 std::move(taskstats));
    } else {
        auto sweep = processes::SweepTracker::create(*relay_, *table_, *files_);
        if (!sweep) {
            return base::pass(sweep);
        }
        tracker_ = std::move(*sweep);
    }
    ledger_->set_quality(tracker_->quality());
    return {};
}

base::Result<> Census::watch() {
    auto watch = loop_.on_readable(tracker_->descriptor(), EventLoop::Priority::processes, [this] {
        (void)tracker_->on_readable(events_a_round);  // a loss ends in a resynchronisation inside
        news_.news_taken();
    });
    if (!watch) {
        return base::pass(watch);
    }
    tracker_watch_ = std::move(*watch);
    return {};
}

base::Result<> Census::resync() {
    return lineage_->resync();
}

void Census::drain_tracker() {
    if (tracker_->quality() == processes::TrackingQuality::exact) {
        (void)tracker_->drain();
    }
}

void Census::fold_exits() {
    (void)exits_->drain(*tracker_);
}

void Census::take_news() {
    drain_tracker();
    fold_exits();
    news_.news_taken();
}

void Census::look_for(pid_t process) {
    if (tracker_->quality() == processes::TrackingQuality::sampled) {
        const auto status = files_->status(process);
        if (status && sys::process_of(*status) == process) {  // a thread has a number of that kind, too
            processes::Sweep(*table_, *files_).run_above(process, *relay_);
        }
    }
}

void Census::look_below(pid_t process) {
    if (tracker_->quality() == processes::TrackingQuality::sampled) {
        processes::Sweep(*table_, *files_).run_below(process, *relay_);
    }
}

void Census::look_for_orphans() {
    if (tracker_->quality() != processes::TrackingQuality::sampled) {
        return;
    }
    processes::Sweep sweep(*table_, *files_);
    std::set<pid_t> seen;
    // One that ends while it is looked at may have left behind another one, which the list did not have yet.
    for (std::size_t before = 0, rounds = 0; rounds < most_looks && (rounds == 0 || seen.size() > before);
         ++rounds) {
        const auto children = files_->children(table_->root());
        if (!children) {  // a kernel without lists of children
            (void)resync();
            return;
        }
        before = seen.size();
        for (const pid_t child : *children) {
            if (table_->find(child) == nullptr && seen.insert(child).second) {
                sweep.run_above(child, *relay_);
                sweep.run_below(child, *relay_);
            }
        }
    }
}

base::Result<base::ProcessId> Census::born(pid_t pid, grouping::MembershipId membership) {
    auto process = lineage_->born(pid, membership);
    if (process) {
        return (*process)->id();
    }
    const auto ended = find_exit(pid, [](std::uint64_t) { return true; });
    return ended ? base::Result<base::ProcessId>(*ended) : base::pass(process);
}

// The number may be another's by now: first come the exits that nobody has read.
base::Result<base::ProcessId> Census::adopt(pid_t pid, grouping::MembershipId membership,
                                            const Accept& may_have_started) {
    if (const auto ended = find_exit(pid, may_have_started)) {
        return *ended;
    }
    const auto stat = files_->stat(pid);
    if (!stat || stat->parent != table_->root() || !may_have_started(stat->start_time)) {
        return base::fail(ESRCH, "find", "process " + std::to_string(pid));
    }
    return born(pid, membership);
}

std::optional<base::ProcessId> Census::find_exit(pid_t pid, const Accept& accept) const {
    for (std::uint64_t at = ring_->tail.load(); at != ring_->head.load(); ++at) {
        const wire::ExitRecord& record = ring_->records[at % wire::exit_ring_capacity];
        if (record.pid == pid && accept(record.start_time)) {
            return base::ProcessId{pid, record.start_time};
        }
    }
    return std::nullopt;
}

processes::TaskCount Census::count_exactly(grouping::GroupId group) {
    drain_tracker();
    return counter_->exact(group, tracker_->quality());
}

processes::TaskCounter::TasksByGroup Census::count_by_group(grouping::GroupId top,
                                                            grouping::HierarchyId hierarchy) {
    drain_tracker();
    return counter_->by_group(top, hierarchy, tracker_->quality());
}

void Census::settle_when_due() {
    const std::uint64_t now = monotonic_now_ns();
    if (now - last_round_ns_ > settle_interval_ns) {
        last_round_ns_ = now;
        ledger_->bring_up_to_date(*tracker_);
    }
}

processes::CpuTime Census::cpu_time(grouping::GroupId group) {
    settle_when_due();
    ledger_->sample_members(group);
    return table_->books().usage(group);
}

processes::CpuTime Census::own_cpu_time(grouping::GroupId group) {
    settle_when_due();
    ledger_->sample_members(group);
    return table_->books().own_usage(group);
}

std::unordered_map<grouping::GroupId, processes::CpuTime> Census::cpu_times(grouping::HierarchyId hierarchy) {
    settle_when_due();
    const std::uint64_t now = monotonic_now_ns();
    if (table_->size() < crowd || now - last_sample_ns_ > crowd_sample_interval_ns) {
        last_sample_ns_ = now;
        ledger_->sample_members(forest_.hierarchy(hierarchy)->root);
    }
    return table_->books().usage_of_all(hierarchy);
}

processes::GroupKill Census::group_kill(grouping::GroupId group, std::chrono::nanoseconds patience) {
    return {signal_tools(), group, patience};
}

processes::GroupFreeze Census::group_freeze(grouping::GroupId group, std::chrono::nanoseconds patience) {
    return {signal_tools(), group, patience};
}

}  // namespace gpcsup::supervisor
