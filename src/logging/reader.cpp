#include "logging/reader.h"

#include <fcntl.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "logging/log_file.h"

namespace gpcsup::logging {

namespace {

constexpr std::size_t block_size = 64u << 10;
constexpr std::size_t longest_line = 1u
                                     << 20;  // more without a newline is cut there, so that memory is bounded

struct OpenLog {
    base::Fd file;
    std::string path;
    std::uint64_t inode = 0;
    std::uint64_t size = 0;
};

std::optional<OpenLog> open_log(const std::string& path) {
    OpenLog log{base::Fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY)), path};
    struct stat about {};
    if (!log.file || fstat(log.file.get(), &about) < 0 || !S_ISREG(about.st_mode)) {
        return std::nullopt;
    }
    log.inode = about.st_ino;
    log.size = static_cast<std::uint64_t>(about.st_size);
    return log;
}

std::string read_range(int file, std::uint64_t from, std::uint64_t to) {
    std::string text(to - from, '\0');
    std::size_t used = 0;
    while (used < text.size()) {
        const ssize_t length =
            pread(file, text.data() + used, text.size() - used, static_cast<off_t>(from + used));
        if (length < 0 && errno == EINTR) {
            continue;
        }
        if (length <= 0) {
            break;
        }
        used += static_cast<std::size_t>(length);
    }
    text.resize(used);
    return text;
}

// Where the last COUNT lines of the first SIZE bytes begin. An unfinished last line counts as one.
std::uint64_t find_start(const OpenLog& log, std::size_t count) {
    std::uint64_t end = log.size;
    std::size_t found = 0;
    while (end > 0) {
        const std::uint64_t begin = end > block_size ? end - block_size : 0;
        const std::string block = read_range(log.file.get(), begin, end);
        for (std::size_t i = block.size(); i-- > 0;) {
            const bool last_byte = begin + i + 1 == log.size;
            if (block[i] == '\n' && !last_byte && ++found == count) {
                return begin + i + 1;
            }
        }
        end = begin;
    }
    return 0;
}

// Cuts TEXT, which begins at OFFSET of a file, into lines; an unfinished rest stays in it.
void take_lines(std::string& text, std::uint64_t offset, const TimeIndex& times,
                std::vector<LogLine>& lines) {
    std::size_t start = 0;
    for (;;) {
        std::size_t end = text.find('\n', start);
        const bool cut = end == std::string::npos && text.size() - start >= longest_line;
        if (end == std::string::npos && !cut) {
            break;
        }
        end = cut ? start + longest_line : end;
        lines.push_back({times.at(offset + start), text.substr(start, end - start), true});
        start = cut ? end : end + 1;
    }
    text.erase(0, start);
}

std::vector<LogLine> read_tail(const OpenLog& log, std::size_t count) {
    const std::uint64_t start = find_start(log, count);
    std::string text = read_range(log.file.get(), start, log.size);
    const std::uint64_t end = start + text.size();
    const TimeIndex times = read_times(log.path);
    std::vector<LogLine> lines;
    take_lines(text, start, times, lines);
    if (!text.empty()) {
        lines.push_back({times.at(end - text.size()), text, false});
    }
    if (lines.size() > count) {
        lines.erase(lines.begin(), lines.end() - static_cast<std::ptrdiff_t>(count));
    }
    return lines;
}

// A line that a rotation cut in two becomes one again.
void put_before(std::vector<LogLine> older, std::vector<LogLine>& lines) {
    if (!older.empty() && !older.back().complete && !lines.empty()) {
        lines.front().text.insert(0, older.back().text);
        lines.front().time = older.back().time;
        older.pop_back();
    }
    lines.insert(lines.begin(), std::make_move_iterator(older.begin()), std::make_move_iterator(older.end()));
}

}  // namespace

base::Result<LogTail> last_lines(std::string_view directory, std::string_view name, std::size_t count) {
    base::Result<std::string> path = log_path(directory, name);
    if (!path) {
        return base::pass(path);
    }
    LogTail tail;
    bool any = false;
    for (unsigned number = 0; number <= LogLimits{}.generations && tail.lines.size() <= count; ++number) {
        std::optional<OpenLog> log = open_log(generation_path(*path, number));
        if (!log) {
            if (number == 0) {
                continue;  // between two steps of a rotation there is none for a moment
            }
            break;
        }
        if (!any) {
            tail.next = {log->inode, log->size};
        }
        any = true;
        // One more than is wanted, since the oldest may turn out to be the rest of a line.
        put_before(read_tail(*log, count + 1 - tail.lines.size()), tail.lines);
    }
    if (!any) {
        return base::fail(errno != 0 ? errno : ENOENT, "read the log", *path);
    }
    if (tail.lines.size() > count) {
        tail.lines.erase(tail.lines.begin(), tail.lines.end() - static_cast<std::ptrdiff_t>(count));
    }
    if (!tail.lines.empty() && !tail.lines.back().complete) {
        tail.next.offset -= tail.lines.back().text.size();  // a follower returns it when it is whole
    }
    return tail;
}

base::Result<LogFollower> LogFollower::open(std::string_view directory, std::string_view name,
                                            LogPosition position) {
    base::Result<std::string> path = log_path(directory, name);
    if (!path) {
        return base::pass(path);
    }
    base::Fd watch(inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
    if (!watch) {
        return base::fail(errno, "follow", *path);
    }
    const std::string place(directory);
    if (inotify_add_watch(watch.get(), place.c_str(), IN_MODIFY | IN_CREATE | IN_MOVED_TO | IN_ONLYDIR) < 0) {
        return base::fail(errno, "follow the logs in", place);
    }
    LogFollower follower(std::move(*path), std::move(watch));
    // The file may have been rotated since the position was taken.
    if (std::optional<unsigned> number = follower.locate(position.inode)) {
        if (std::optional<OpenLog> log = open_log(generation_path(follower.path_, *number))) {
            follower.file_ = std::move(log->file);
            follower.position_ = position;
        }
    }
    return follower;
}

std::optional<unsigned> LogFollower::locate(std::uint64_t inode) const {
    for (unsigned number = 0; number <= LogLimits{}.generations; ++number) {
        struct stat about {};
        if (stat(generation_path(path_, number).c_str(), &about) == 0 && about.st_ino == inode) {
            return number;
        }
    }
    return std::nullopt;
}

// The next newer file, or the current one where there was none before.
void LogFollower::open_after(std::uint64_t inode) {
    const unsigned number = locate(inode).value_or(1);
    std::optional<OpenLog> log = open_log(generation_path(path_, number > 0 ? number - 1 : 0));
    if (log) {
        file_ = std::move(log->file);
        position_ = {log->inode, 0};
    } else {
        file_.reset();
    }
}

void LogFollower::read_file(std::vector<LogLine>& lines) {
    struct stat about {};
    if (fstat(file_.get(), &about) < 0) {
        return;
    }
    const auto size = static_cast<std::uint64_t>(about.st_size);
    if (size < position_.offset) {  // somebody has emptied it (: >web.log): what comes now begins anew
        position_.offset = 0;
        partial_.clear();
    }
    if (size == position_.offset) {
        return;
    }
    const TimeIndex times = read_times(generation_path(path_, locate(position_.inode).value_or(0)));
    while (position_.offset < size) {
        const std::uint64_t end = std::min<std::uint64_t>(size, position_.offset + (1u << 20));
        const std::string more = read_range(file_.get(), position_.offset, end);
        if (more.empty()) {
            return;
        }
        const std::uint64_t start =
            position_.offset - std::min<std::uint64_t>(partial_.size(), position_.offset);
        partial_ += more;
        position_.offset += more.size();
        take_lines(partial_, start, times, lines);
    }
}

base::Result<std::vector<LogLine>> LogFollower::next() {
    std::array<char, 8192> events;
    while (read(watch_.get(), events.data(), events.size()) > 0) {
    }
    std::vector<LogLine> lines;
    if (!file_) {
        open_after(position_.inode);
    }
    // Seen to be rotated first, then read to its end: nothing more can come into it.
    for (unsigned files = 0; file_ && files <= LogLimits{}.generations + 1; ++files) {
        const bool current = locate(position_.inode) == 0u;
        read_file(lines);
        if (current) {
            break;
        }
        open_after(position_.inode);
    }
    return lines;
}

}  // namespace gpcsup::logging
