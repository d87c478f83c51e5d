#pragma once
// Time: the clocks of the machine, and the CPU clock of any process. Durations since an epoch that each
// function names.

#include <sys/types.h>

#include <chrono>

#include "base/result.h"

namespace gpcsup::sys {

class Clocks {
  public:
    virtual ~Clocks() = default;
    virtual std::chrono::nanoseconds monotonic() = 0;  // does not count suspend
    virtual std::chrono::nanoseconds real() = 0;       // since 1970, UTC
    virtual std::chrono::nanoseconds boot() = 0;       // counts suspend; what start times are in
    // CPU time of all its threads, ended ones included, children excluded. Works on a zombie; ESRCH once it
    // is reaped.
    virtual base::Result<std::chrono::nanoseconds> process(pid_t pid) = 0;
};

class RealClocks final : public Clocks {
  public:
    std::chrono::nanoseconds monotonic() override;
    std::chrono::nanoseconds real() override;
    std::chrono::nanoseconds boot() override;
    base::Result<std::chrono::nanoseconds> process(pid_t pid) override;
};

}  // namespace gpcsup::sys
