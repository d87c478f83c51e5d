#pragma once
// A tracker that tells everything at once, while some of the processes fork as fast as they can.

#include <catch2/catch.hpp>

#include "processes/world.h"

namespace gpcsup::tests {

// A death by signal is told like any other.
class TellingTracker final : public processes::Tracker {
  public:
    explicit TellingTracker(World& world) : world_(world) {}
    [[nodiscard]] processes::TrackingQuality quality() const override {
        return processes::TrackingQuality::exact;
    }
    [[nodiscard]] int descriptor() const override { return -1; }
    base::Result<processes::Progress> on_readable(std::size_t) override { return processes::Progress::empty; }
    base::Result<> drain() override {
        world_.tracker->drain().value();
        if (rounds_ > 0) {
            --rounds_;
            for (const pid_t pid : bombs) {
                if (world_.machine.exists(pid) && world_.machine.at(pid).state == 'R') {
                    bombs_next.push_back(world_.fork(pid));
                }
            }
            bombs.insert(bombs.end(), bombs_next.begin(), bombs_next.end());
            bombs_next.clear();
        }
        world_.reap_as_init();
        world_.tracker->drain().value();
        world_.reader->drain(*world_.tracker).value();
        REQUIRE(world_.lineage->resync());
        return {};
    }
    std::vector<pid_t> bombs;
    std::vector<pid_t> bombs_next;
    int rounds_ = 0;  // in which those of `bombs` that run fork

  private:
    World& world_;
};

}  // namespace gpcsup::tests
