#pragma once
// When the bytes of a log file came: a file beside it, PATH.times, of fixed records. The bytes from `offset`
// up to the next record's came at about `realtime_ns`. Both sides are here: gpc-logd appends, readers look
// up.

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"

namespace gpcsup::logging {

using RealTime = std::chrono::sys_time<std::chrono::nanoseconds>;

struct TimeRecord {
    std::uint64_t offset;
    std::int64_t realtime_ns;
};
static_assert(sizeof(TimeRecord) == 16);

std::string times_path(const std::string& log_path);

// Appends one record. A record that a crash or a full disk cut short is removed first.
base::Result<> append_time(const std::string& log_path, std::uint64_t offset, RealTime time);

class TimeIndex {
  public:
    TimeIndex() = default;
    explicit TimeIndex(std::vector<TimeRecord> records);  // in the order of the file
    // When the byte at OFFSET came; nothing if no record says.
    [[nodiscard]] std::optional<RealTime> at(std::uint64_t offset) const;

  private:
    std::vector<TimeRecord> records_;
};

// What is there; a file that is missing or cut short is an index that knows less.
TimeIndex read_times(const std::string& log_path);

}  // namespace gpcsup::logging
