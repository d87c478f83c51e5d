#pragma once
// Refusals as history: `refused-attach`, `refused-remove` and `refused-set`, for `gpcsup events` and `gpcsup
// why`. At most so many a second: who is refused in a loop must not wash everything else out of the journal.
// What was left out is counted in the next one that is written.

#include "supervisor/chronicle.h"

namespace gpcsup::supervisor {

class Refusals {
  public:
    static constexpr unsigned at_once = 20;  // then one for each interval
    static constexpr std::uint64_t interval_ns = 100'000'000;

    explicit Refusals(Chronicle& chronicle) : chronicle_(chronicle) {}
    void note(std::string_view event, Json body, std::uint64_t now_ns);

  private:
    Chronicle& chronicle_;
    std::uint64_t paid_until_ns_ = 0;  // each event costs one interval, at_once of them on credit
    std::uint64_t left_out_ = 0;
};

}  // namespace gpcsup::supervisor
