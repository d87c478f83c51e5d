#pragma once
// Reading a unit's log, with its older generations and the times of its lines, without any daemon. For
// `gpcsup log` and `gpcsup status`; it only opens files for reading.

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/fd.h"
#include "base/result.h"
#include "logging/time_index.h"

namespace gpcsup::logging {

struct LogLine {
    std::optional<RealTime> time;  // about when its first byte came; nothing where that was not recorded
    std::string text;              // without the newline
    bool complete = true;          // false: the last line, and its newline has not come
};

// Where reading goes on: after the last line that was returned.
struct LogPosition {
    std::uint64_t inode = 0;
    std::uint64_t offset = 0;
};

struct LogTail {
    std::vector<LogLine> lines;  // oldest first
    LogPosition next;            // for LogFollower: nothing between is missed, nothing is repeated
};

// The last COUNT lines of DIRECTORY/NAME.log and its generations. ENOENT: nothing was ever logged.
base::Result<LogTail> last_lines(std::string_view directory, std::string_view name, std::size_t count);

// New lines as they come, over rotations.
class LogFollower {
  public:
    // From POSITION on. The file need not be there yet, the directory must be.
    static base::Result<LogFollower> open(std::string_view directory, std::string_view name,
                                          LogPosition position = {});
    // Readable when it is worth calling next().
    [[nodiscard]] int descriptor() const { return watch_.get(); }
    // Every line that is complete by now; an unfinished one is kept until it is.
    base::Result<std::vector<LogLine>> next();

  private:
    LogFollower(std::string path, base::Fd watch) : path_(std::move(path)), watch_(std::move(watch)) {}
    void read_file(std::vector<LogLine>& lines);
    void open_after(std::uint64_t inode);
    // Which file of the log that inode is now: 0 the current one, 1 … its generations; nothing: it is gone.
    [[nodiscard]] std::optional<unsigned> locate(std::uint64_t inode) const;

    std::string path_;
    base::Fd watch_;  // inotify on the directory: a rotation makes another file
    base::Fd file_;
    LogPosition position_;  // of the first byte that is not in partial_
    std::string partial_;
};

}  // namespace gpcsup::logging
