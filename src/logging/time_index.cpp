#include "logging/time_index.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "base/fd.h"

namespace gpcsup::logging {

std::string times_path(const std::string& log_path) {
    return log_path + ".times";
}

base::Result<> append_time(const std::string& log_path, std::uint64_t offset, RealTime time) {
    const std::string path = times_path(log_path);
    base::Fd file(
        open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY, 0640));
    struct stat about {};
    if (!file || fstat(file.get(), &about) < 0) {
        return base::fail(errno, "open", path);
    }
    if (const off_t torn = about.st_size % static_cast<off_t>(sizeof(TimeRecord)); torn != 0) {
        if (ftruncate(file.get(), about.st_size - torn) < 0) {
            return base::fail(errno, "truncate", path);
        }
    }
    const TimeRecord record{offset, time.time_since_epoch().count()};
    if (write(file.get(), &record, sizeof record) != static_cast<ssize_t>(sizeof record)) {
        return base::fail(errno, "write", path);
    }
    return {};
}

// Offsets never fall within one file, except that a start may repeat the last one: of equal offsets the last
// counts.
TimeIndex::TimeIndex(std::vector<TimeRecord> records) : records_(std::move(records)) {
    std::ranges::stable_sort(records_, {}, &TimeRecord::offset);
}

std::optional<RealTime> TimeIndex::at(std::uint64_t offset) const {
    auto after = std::ranges::upper_bound(records_, offset, {}, &TimeRecord::offset);
    if (after == records_.begin()) {
        return std::nullopt;
    }
    return RealTime(std::chrono::nanoseconds(std::prev(after)->realtime_ns));
}

TimeIndex read_times(const std::string& log_path) {
    base::Fd file(open(times_path(log_path).c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY));
    struct stat about {};
    if (!file || fstat(file.get(), &about) < 0) {
        return {};
    }
    std::vector<TimeRecord> records(static_cast<std::size_t>(about.st_size) / sizeof(TimeRecord));
    const ssize_t length = pread(file.get(), records.data(), records.size() * sizeof(TimeRecord), 0);
    records.resize(length > 0 ? static_cast<std::size_t>(length) / sizeof(TimeRecord) : 0);
    return TimeIndex(std::move(records));
}

}  // namespace gpcsup::logging
