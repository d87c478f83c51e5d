#pragma once
// Tracking without any privilege: a walk over /proc every second. Sampled: what lives shorter is not seen. On
// a machine where a walk takes long, the pause grows with it, so that walking never costs more than a
// twentieth of one CPU.

#include <chrono>

#include "base/fd.h"
#include "processes/sweep.h"
#include "processes/tracker.h"

namespace gpcsup::processes {

class SweepTracker final : public Tracker {
  public:
    static base::Result<std::unique_ptr<SweepTracker>> create(
        TrackerSink& sink, ProcessTable& table, sys::ProcFiles& files,
        std::chrono::milliseconds interval = std::chrono::seconds(1));

    [[nodiscard]] TrackingQuality quality() const override { return TrackingQuality::sampled; }
    [[nodiscard]] int descriptor() const override { return timer_.get(); }  // a timerfd
    base::Result<Progress> on_readable(std::size_t budget) override;        // a part of a walk
    base::Result<> drain() override;                                        // a whole walk, begun now

  private:
    SweepTracker(TrackerSink& sink, ProcessTable& table, sys::ProcFiles& files, base::Fd timer,
                 std::chrono::milliseconds interval)
        : sink_(sink), sweep_(table, files), timer_(std::move(timer)), interval_(interval) {}
    base::Result<> rest();
    base::Result<> arm(std::chrono::nanoseconds pause);
    TrackerSink& sink_;
    Sweep sweep_;
    base::Fd timer_;
    std::chrono::milliseconds interval_;
    std::chrono::nanoseconds cost_{};  // of the walk under way
};

}  // namespace gpcsup::processes
