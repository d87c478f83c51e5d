#pragma once
// Signals go to a process and to nothing that took its number: a descriptor is opened, the start time
// compared, then used.

#include "base/fd.h"
#include "base/process_id.h"
#include "base/result.h"
#include "sys/proc_files.h"

namespace gpcsup::sys {

class Signals {
  public:
    virtual ~Signals() = default;
    // A descriptor of exactly this process; readable when it has ended. ESRCH when it is gone or another has
    // its number.
    virtual base::Result<base::Fd> open(base::ProcessId process) = 0;
    virtual base::Result<> send(base::ProcessId process, int signal) = 0;  // open, check, send, close
};

class RealSignals final : public Signals {
  public:
    explicit RealSignals(ProcFiles& files) : files_(files) {}
    base::Result<base::Fd> open(base::ProcessId process) override;
    base::Result<> send(base::ProcessId process, int signal) override;

  private:
    ProcFiles& files_;
};

base::Result<> send_signal(const base::Fd& pidfd, int signal);

}  // namespace gpcsup::sys
