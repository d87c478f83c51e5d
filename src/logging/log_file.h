#pragma once
// One unit's log: DIRECTORY/NAME.log with its older generations NAME.log.1 … and the times of each. Bytes go
// from a pipe to the file inside the kernel (splice), so at no instant are they in neither or in both:
// gpc-logd may be killed at any moment. It knows nothing of units, epoll or retries.

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/fd.h"
#include "base/result.h"
#include "logging/time_index.h"

namespace gpcsup::logging {

struct LogLimits {
    std::uint64_t rotate_at =
        8u << 20;  // a new file begins when one is this long and its last line is complete…
    std::uint64_t at_most = 9u << 20;  // …or when it is this long
    unsigned generations = 4;          // older files that are kept
};

enum class PipeState {
    more,   // the bound of one round was reached
    empty,  // nothing in it now
    ended,  // nothing in it, and nobody has it open for writing
};

struct Moved {
    std::size_t bytes = 0;
    PipeState state = PipeState::empty;
    bool freed_space = false;  // a generation was deleted: what failed for want of space may go now
};

// "web" → "/var/log/gpcsup/web.log". EINVAL for a name that is no plain file name.
base::Result<std::string> log_path(std::string_view directory, std::string_view name);

// The log itself (0), and its older generations, the youngest first.
[[nodiscard]] std::string generation_path(const std::string& path, unsigned number);

class LogFile {
  public:
    explicit LogFile(std::string path, LogLimits limits = {});

    // Moves what is in the pipe, at most LIMIT bytes. On an error nothing that was not moved has left the
    // pipe. EBUSY: another process writes this log.
    base::Result<Moved> take_from(int pipe, std::size_t limit, RealTime now);
    // Gives its descriptor back. It is opened again, at the end, when it is next needed.
    void close() { file_.reset(); }
    [[nodiscard]] const std::string& path() const { return path_; }

  private:
    base::Result<> open();
    base::Result<bool> rotate_if_due();
    [[nodiscard]] bool ends_with_line() const;
    void note_time(RealTime now);

    std::string path_;
    LogLimits limits_;
    base::Fd file_;
    std::uint64_t size_ = 0;
    RealTime noted_{};  // when the last record of time was written
};

}  // namespace gpcsup::logging
