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

base::Result<Progress> SweepTracker::on_readable(std::size_t) {
    std::uint64_t expirations = 0;
    (void)!::read(timer_.get(), &expirations, sizeof expirations);
    const auto begin = std::chrono::steady_clock::now();
    auto done = sweep_.run(sink_);
    const auto cost = std::chrono::steady_clock::now() - begin;
    if (auto armed = arm(std::max<std::chrono::nanoseconds>(interval_, cost * share_of_cpu)); !armed) {
        return base::pass(armed);
    }
    if (!done) {
        return base::pass(done);
    }
    return Progress::empty;
}

base::Result<> SweepTracker::drain() {
    auto progress = on_readable(0);
    if (!progress) {
        return base::pass(progress);
    }
    return {};
}

}  // namespace gpcsup::processes
