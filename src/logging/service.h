#pragma once
// gpc-logd's loop: the channel to gpc-init, the pipes, a timer that runs only while a log cannot be written.

#include <chrono>
#include <cstdint>

#include "base/fd.h"
#include "base/result.h"
#include "logging/keeper.h"
#include "logging/pipes.h"

namespace gpcsup::logging {

class LogService {
  public:
    LogService(Keeper keeper, Pipes pipes);
    // Until gpc-init has gone or SIGTERM; then what is still in the pipes is written, within a bounded time.
    base::Result<> run();

  private:
    base::Result<> prepare();
    enum class Going { on, ending };
    Going hear_keeper();
    void hear(KeeperLetter& letter);
    void take_pipe(KeeperLetter& letter);
    void enter_set(std::uint64_t number);
    void begin_serving();
    void pause_serving();
    void hear_timer();
    void arm_retry();
    void finish();

    Keeper keeper_;
    Pipes pipes_;
    base::Fd epoll_;
    base::Fd timer_;
    base::Fd signals_;
    std::chrono::milliseconds retry_delay_{0};  // the last one
    bool retry_armed_ = false;
    std::uint64_t set_ = 0;  // number of the set that is being or was sent last
};

}  // namespace gpcsup::logging
