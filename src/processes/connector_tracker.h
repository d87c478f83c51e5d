#pragma once
// The netlink process connector as a tracker: exact, for root in the initial namespaces, and from Linux 6.6
// for anyone in them. It reports every process of the machine; the sink drops what it does not know at the
// price of one look-up. With taskstats (privileged) each exit comes with the thread's CPU time: its record is
// always queued before the exit event, so that socket is emptied before each batch of events.
//
// Both sockets are opened once and kept by gpc-init, so events queue on while gpcsupd is away. Loss is seen
// as ENOBUFS or as a gap in a CPU's sequence numbers; what is queued is handled, and once the queue is empty
// the sink gets one `lost`.

#include <chrono>
#include <memory>
#include <optional>
#include <unordered_map>

#include "base/fd.h"
#include "processes/tracker.h"
#include "sys/netlink.h"

namespace gpcsup::processes {

class ConnectorTracker final : public Tracker {
  public:
    // Sockets from sys::open_connector and sys::open_taskstats, or the ones a predecessor opened. Without
    // taskstats: empty.
    ConnectorTracker(TrackerSink& sink, base::Fd connector, base::Fd taskstats);

    [[nodiscard]] TrackingQuality quality() const override { return TrackingQuality::exact; }
    [[nodiscard]] int descriptor() const override { return connector_.get(); }
    base::Result<Progress> on_readable(std::size_t budget) override;
    base::Result<> drain() override;

    [[nodiscard]] std::uint64_t losses() const { return losses_; }

  private:
    base::Result<> drain_taskstats();
    void handle(const sys::ConnectorMessage& message);
    void check_sequence(const sys::ConnectorMessage& message);
    [[nodiscard]] std::uint64_t latest_start(const sys::ConnectorMessage& message) const;
    TrackerSink& sink_;
    base::Fd connector_;
    base::Fd taskstats_;
    std::unordered_map<std::uint32_t, std::uint32_t> sequences_;  // last one of each CPU
    std::unordered_map<pid_t, sys::TaskRecord> records_;          // whose exit event has not come yet
    std::chrono::nanoseconds
        suspended_{};  // of the clock that events carry behind the one start times are in
    std::uint64_t losses_ = 0;
    enum class Trust : std::uint8_t { intact, broken } trust_ = Trust::intact;
};

}  // namespace gpcsup::processes
