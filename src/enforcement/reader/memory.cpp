#include "enforcement/reader/memory.h"

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>

#include <fcntl.h>
#include <unistd.h>

namespace gpcsup::enforcement {
namespace {

constexpr std::uint64_t kibibyte = 1024;

struct Text {
    char bytes[2048];
    bool ok = false;
};

// Of a process's own directory, so that all figures are of one process, whoever has its number by now.
Text read_file(int directory, const char* name) {
    Text text;
    const int file = openat(directory, name, O_RDONLY | O_CLOEXEC);
    if (file < 0) {
        return text;
    }
    const ssize_t got = read(file, text.bytes, sizeof(text.bytes) - 1);
    close(file);
    text.ok = got > 0;
    text.bytes[got > 0 ? got : 0] = '\0';
    return text;
}

// Field 22 of stat, counted from behind the name, which may have spaces of its own.
bool is_started_at(int directory, std::uint64_t start_time) {
    const Text stat = read_file(directory, "stat");
    const char* at = stat.ok ? std::strrchr(stat.bytes, ')') : nullptr;
    constexpr int spaces_between = 20;
    for (int space = 0; at != nullptr && space < spaces_between; ++space) {
        at = std::strchr(at + 1, ' ');
    }
    return at != nullptr && std::strtoull(at + 1, nullptr, 10) == start_time;
}

std::uint64_t resident(int directory) {
    const Text statm = read_file(directory, "statm");
    const char* second = statm.ok ? std::strchr(statm.bytes, ' ') : nullptr;
    return second == nullptr
               ? wire::memory_unknown
               : std::strtoull(second + 1, nullptr, 10) * static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE));
}

std::uint64_t proportional(int directory) {
    const Text rollup = read_file(directory, "smaps_rollup");
    const char* line = rollup.ok ? std::strstr(rollup.bytes, "\nPss:") : nullptr;
    return line == nullptr ? wire::memory_unknown : std::strtoull(line + 5, nullptr, 10) * kibibyte;
}

std::uint64_t figure_of(const wire::MemoryRequest::Member& member, wire::MemoryFigure figure) {
    char path[24];
    std::snprintf(path, sizeof(path), "/proc/%d", static_cast<int>(member.pid));
    const int directory = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (directory < 0) {
        return wire::memory_unknown;
    }
    std::uint64_t bytes = wire::memory_unknown;
    if (is_started_at(directory, member.start_time)) {
        bytes = figure == wire::MemoryFigure::resident ? resident(directory) : proportional(directory);
    }
    close(directory);
    return bytes;
}

std::uint64_t now_ns() {
    timespec now{};
    clock_gettime(CLOCK_MONOTONIC, &now);
    return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<std::uint64_t>(now.tv_nsec);
}

}  // namespace

void read_figures(const wire::MemoryRequest& request, wire::MemoryAnswer& answer) {
    answer.id = request.id;
    for (std::uint32_t at = 0; at < wire::memory_members; ++at) {
        const bool wanted = at < request.count && now_ns() < request.until_ns;
        answer.bytes[at] = wanted ? figure_of(request.members[at], request.figure) : wire::memory_unknown;
    }
}

}  // namespace gpcsup::enforcement
