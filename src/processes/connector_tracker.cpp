#include "processes/connector_tracker.h"

#include "sys/clocks.h"
#include "sys/proc_files.h"

namespace gpcsup::processes {
namespace {

constexpr std::size_t batch = 128;
// Threads of other people's processes end too; a record whose exit event got lost must not stay for ever.
constexpr std::size_t records_at_most = 16384;
constexpr std::size_t drain_at_most = 200'000;

}  // namespace

ConnectorTracker::ConnectorTracker(TrackerSink& sink, base::Fd connector, base::Fd taskstats)
    : sink_(sink), connector_(std::move(connector)), taskstats_(std::move(taskstats)) {}

base::Result<> ConnectorTracker::drain_taskstats() {
    if (!taskstats_) {
        return {};
    }
    auto taken = sys::take_messages(taskstats_.get(), records_at_most, [this](auto datagram) {
        if (const auto record = sys::parse_taskstats(datagram)) {
            if (records_.size() >= records_at_most) {
                records_.clear();
            }
            records_[record->thread] = *record;
        }
    });
    if (!taken) {
        return base::pass(taken);
    }
    return {};  // an overrun here loses figures that are only used to share out a sum: no resynchronisation
}

void ConnectorTracker::check_sequence(const sys::ConnectorMessage& message) {
    const auto [known, is_new] = sequences_.try_emplace(message.cpu, message.sequence);
    if (is_new) {
        return;
    }
    if (message.sequence != known->second + 1) {
        trust_ = Trust::broken;
    }
    known->second = message.sequence;
}

// The kernel takes the start time of a process before it tells of its fork; one tick is added for the cut.
std::uint64_t ConnectorTracker::latest_start(const sys::ConnectorMessage& message) const {
    const auto boot_ns = message.timestamp_ns + static_cast<std::uint64_t>(suspended_.count());
    return boot_ns / sys::nanoseconds_of_ticks(1) + 1;
}

void ConnectorTracker::handle(const sys::ConnectorMessage& message) {
    if (message.kind == sys::ConnectorKind::acknowledgement) {
        return;  // of somebody's subscription; not counted in any CPU's sequence
    }
    check_sequence(message);
    Event event{.process = message.process,
                .thread = message.thread,
                .parent = message.parent,
                .timestamp_ns = message.timestamp_ns};
    switch (message.kind) {
        case sys::ConnectorKind::fork:
            event.kind = message.thread == message.process ? EventKind::fork : EventKind::thread_start;
            // Of a new thread the kernel names the parent of its process: not who made it.
            event.parent_thread = event.kind == EventKind::fork ? message.parent_thread : 0;
            event.latest_start = event.kind == EventKind::fork ? latest_start(message) : 0;
            break;
        case sys::ConnectorKind::exec:
            event.kind = EventKind::exec;
            break;
        case sys::ConnectorKind::session:
            event.kind = EventKind::session;
            break;
        case sys::ConnectorKind::user:
        case sys::ConnectorKind::group:
            event.kind = EventKind::identity;
            break;
        case sys::ConnectorKind::exit: {
            event.kind = EventKind::thread_exit;
            if (const auto record = records_.find(message.thread); record != records_.end()) {
                event.run_ns = record->second.run_ns;
                event.tick_ns = record->second.tick_ns;
                records_.erase(record);
            }
            break;
        }
        default:
            return;
    }
    sink_.handle(event);
}

base::Result<Progress> ConnectorTracker::on_readable(std::size_t budget) {
    sys::RealClocks clocks;
    suspended_ = clocks.boot() - clocks.monotonic();
    while (budget > 0) {
        if (auto drained = drain_taskstats(); !drained) {
            return base::pass(drained);
        }
        auto taken = sys::take_messages(connector_.get(), std::min(batch, budget), [this](auto datagram) {
            if (const auto message = sys::parse_connector(datagram)) {
                handle(*message);
            }
        });
        if (!taken) {
            return base::pass(taken);
        }
        if (taken->overruns > 0) {
            trust_ = Trust::broken;
        }
        if (taken->end == sys::TakeEnd::empty) {
            if (trust_ == Trust::broken) {
                trust_ = Trust::intact;
                ++losses_;
                sink_.handle(Event{.kind = EventKind::lost});
            }
            return Progress::empty;
        }
        budget -= std::min(budget, taken->messages);
    }
    return Progress::more;
}

base::Result<> ConnectorTracker::drain() {
    auto progress = on_readable(drain_at_most);
    if (!progress) {
        return base::pass(progress);
    }
    return {};
}

}  // namespace gpcsup::processes
