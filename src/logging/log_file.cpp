#include "logging/log_file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <system_error>

namespace gpcsup::logging {

namespace {

using namespace std::chrono_literals;

constexpr auto times_interval = 100ms;

// ENOENT is not an error: what is not there needs no new name.
base::Result<> rename_if_there(const std::string& from, const std::string& to) {
    if (rename(from.c_str(), to.c_str()) < 0 && errno != ENOENT) {
        return base::fail(errno, "rename", from);
    }
    return {};
}

bool is_there(const std::string& path) {
    return access(path.c_str(), F_OK) == 0;
}

}  // namespace

std::string generation_path(const std::string& path, unsigned number) {
    return number == 0 ? path : path + "." + std::to_string(number);
}

base::Result<std::string> log_path(std::string_view directory, std::string_view name) {
    if (name.empty() || name.find('/') != std::string_view::npos || name.starts_with('.')) {
        return base::fail(EINVAL, "log to a file named", name);
    }
    return std::string(directory) + "/" + std::string(name) + ".log";
}

LogFile::LogFile(std::string path, LogLimits limits) : path_(std::move(path)), limits_(limits) {}

// Somebody may have removed or emptied the file meanwhile; only the kernel knows how long it is.
base::Result<> LogFile::open() {
    struct stat about {};
    if (file_ && fstat(file_.get(), &about) == 0 && about.st_nlink > 0) {
        size_ = static_cast<std::uint64_t>(about.st_size);
        return {};
    }
    file_.reset();
    const int flags = O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY | O_NONBLOCK;
    base::Fd file(::open(path_.c_str(), flags, 0640));
    if (!file && errno == ENOENT) {
        std::error_code ignored;  // opening tells
        std::filesystem::create_directories(std::filesystem::path(path_).parent_path(), ignored);
        file.reset(::open(path_.c_str(), flags, 0640));
    }
    if (!file || fstat(file.get(), &about) < 0) {
        return base::fail(errno, "open", path_);
    }
    if (!S_ISREG(about.st_mode)) {
        return base::fail(EINVAL, "log to", path_, "it is not a regular file");
    }
    // splice(2) does not append: the place is ours to remember, so nobody else may write.
    if (flock(file.get(), LOCK_EX | LOCK_NB) < 0) {
        return base::fail(errno == EWOULDBLOCK ? EBUSY : errno, "write", path_, "another gpc-logd writes it");
    }
    size_ = static_cast<std::uint64_t>(about.st_size);
    noted_ = {};
    file_ = std::move(file);
    return {};
}

bool LogFile::ends_with_line() const {
    char last = 0;
    return size_ == 0 || (pread(file_.get(), &last, 1, static_cast<off_t>(size_ - 1)) == 1 && last == '\n');
}

// Moves each generation one further, up to the first free number, so that a rotation that was cut short is
// completed and not repeated. The times go first: a log without times is still a log.
base::Result<bool> LogFile::rotate_if_due() {
    if (size_ < limits_.rotate_at || (size_ < limits_.at_most && !ends_with_line())) {
        return false;
    }
    unsigned free = 1;
    while (free < limits_.generations && is_there(generation_path(path_, free))) {
        ++free;
    }
    const bool frees = is_there(generation_path(path_, free));
    for (unsigned number = free; number > 0; --number) {
        const std::string from = generation_path(path_, number - 1);
        const std::string to = generation_path(path_, number);
        if (base::Result<> renamed = rename_if_there(times_path(from), times_path(to)); !renamed) {
            return base::pass(renamed);
        }
        if (base::Result<> renamed = rename_if_there(from, to); !renamed) {
            return base::pass(renamed);
        }
    }
    close();
    if (base::Result<> opened = open(); !opened) {
        return base::pass(opened);
    }
    return frees;
}

// Without times a log is still a log: a failure costs the time stamps of a moment and is tried again with the
// next bytes.
void LogFile::note_time(RealTime now) {
    if (now - noted_ < times_interval && now >= noted_) {
        return;
    }
    if (append_time(path_, size_, now)) {
        noted_ = now;
    }
}

base::Result<Moved> LogFile::take_from(int pipe, std::size_t limit, RealTime now) {
    Moved moved;
    while (moved.bytes < limit) {
        int waiting = 0;
        if (ioctl(pipe, FIONREAD, &waiting) < 0) {
            return base::fail(errno, "read the pipe for", path_);
        }
        if (base::Result<> opened = open(); !opened) {
            return base::pass(opened);
        }
        if (waiting > 0) {
            base::Result<bool> rotated = rotate_if_due();
            if (!rotated) {
                return base::pass(rotated);
            }
            moved.freed_space = moved.freed_space || *rotated;
            note_time(now);
        }
        auto offset = static_cast<loff_t>(size_);
        const ssize_t length =
            splice(pipe, nullptr, file_.get(), &offset, limit - moved.bytes, SPLICE_F_NONBLOCK);
        if (length == 0) {
            moved.state = PipeState::ended;
            return moved;
        }
        if (length < 0 && errno == EINTR) {
            continue;
        }
        if (length < 0 && errno == EAGAIN) {
            moved.state = PipeState::empty;
            return moved;
        }
        if (length < 0) {
            const int code = errno;
            close();  // it may be the file that is at fault; the next try begins anew
            return base::fail(code, "write", path_);
        }
        size_ += static_cast<std::uint64_t>(length);
        moved.bytes += static_cast<std::size_t>(length);
    }
    moved.state = PipeState::more;
    return moved;
}

}  // namespace gpcsup::logging
