#include "processes/sweep_tracker.h"

#include <sys/timerfd.h>
#include <unistd.h>

#include <cerrno>

namespace gpcsup::processes {
namespace {

constexpr int share_of_cpu = 20;

}  // namespace

base::Result<std::unique_ptr<SweepTracker>> SweepTracker::create(TrackerSink& sink, ProcessTable& table,
                                                                 sys::ProcFiles& files,
                                                                 std::chrono::milliseconds interval) {
    base::Fd timer(::timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK));
    if (!timer) {
        return base::fail(errno, "create", "the sweep's timer");
    }
    std::unique_ptr<SweepTracker> tracker(new SweepTracker(sink, table, files, std::move(timer), interval));
    if (auto armed = tracker->arm(interval); !armed) {
        return base::pass(armed);
    }
    return tracker;
}

base::Result<> SweepTracker::arm(std::chrono::nanoseconds pause) {
    const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(pause);
    itimerspec when{};
    when.it_value.tv_sec = seconds.count();
    when.it_value.tv_nsec = (pause - seconds).count();
    if (::timerfd_settime(timer_.get(), 0, &when, nullptr) != 0) {
        return base::fail(errno, "set", "the sweep's timer");
    }
    return {};
}

base::Result<> SweepTracker::rest() {
    std::uint64_t expirations = 0;
    (void)!::read(timer_.get(), &expirations, sizeof expirations);
    return arm(std::max<std::chrono::nanoseconds>(interval_, std::exchange(cost_, {}) * share_of_cpu));
}

// The timer stays readable until the walk is complete.
base::Result<Progress> SweepTracker::on_readable(std::size_t budget) {
    const auto begin = std::chrono::steady_clock::now();
    const Progress progress = sweep_.step(sink_, budget);
    cost_ += std::chrono::steady_clock::now() - begin;
    if (progress == Progress::empty) {
        if (auto rested = rest(); !rested) {
            return base::pass(rested);
        }
    }
    return progress;
}

base::Result<> SweepTracker::drain() {
    const auto begin = std::chrono::steady_clock::now();
    auto done = sweep_.run(sink_);
    cost_ += std::chrono::steady_clock::now() - begin;
    if (auto rested = rest(); !rested) {
        return rested;
    }
    return done;
}

}  // namespace gpcsup::processes
