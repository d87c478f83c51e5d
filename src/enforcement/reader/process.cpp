#include "enforcement/reader/process.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>

#include <fcntl.h>
#include <unistd.h>

namespace gpcsup::enforcement {

ProcDirectory::ProcDirectory(pid_t pid) {
    char path[24];
    std::snprintf(path, sizeof(path), "/proc/%d", static_cast<int>(pid));
    directory_ = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
}

ProcDirectory::~ProcDirectory() {
    if (directory_ >= 0) {
        close(directory_);
    }
}

int ProcDirectory::open_file(const char* name) const {
    return openat(directory_, name, O_RDONLY | O_CLOEXEC);
}

ProcText ProcDirectory::read(const char* name) const {
    ProcText text;
    const int file = directory_ < 0 ? -1 : open_file(name);
    if (file < 0) {
        return text;
    }
    const ssize_t got = ::read(file, text.bytes, sizeof(text.bytes) - 1);
    close(file);
    text.ok = got > 0;
    text.bytes[got > 0 ? got : 0] = '\0';
    return text;
}

// Field 22 of stat, counted from behind the name, which may have spaces of its own.
bool ProcDirectory::is_started_at(std::uint64_t start_time) const {
    const ProcText stat = read("stat");
    const char* at = stat.ok ? std::strrchr(stat.bytes, ')') : nullptr;
    constexpr int spaces_between = 20;
    for (int space = 0; at != nullptr && space < spaces_between; ++space) {
        at = std::strchr(at + 1, ' ');
    }
    return at != nullptr && std::strtoull(at + 1, nullptr, 10) == start_time;
}

std::uint64_t monotonic_ns() {
    timespec now{};
    clock_gettime(CLOCK_MONOTONIC, &now);
    return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<std::uint64_t>(now.tv_nsec);
}

}  // namespace gpcsup::enforcement
