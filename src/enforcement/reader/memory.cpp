#include "enforcement/reader/memory.h"

#include <cstdlib>
#include <cstring>

#include <unistd.h>

#include "enforcement/reader/process.h"

namespace gpcsup::enforcement {
namespace {

constexpr std::uint64_t kibibyte = 1024;

std::uint64_t resident(const ProcDirectory& process) {
    const ProcText statm = process.read("statm");
    const char* second = statm.ok ? std::strchr(statm.bytes, ' ') : nullptr;
    return second == nullptr
               ? wire::memory_unknown
               : std::strtoull(second + 1, nullptr, 10) * static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE));
}

std::uint64_t proportional(const ProcDirectory& process) {
    const ProcText rollup = process.read("smaps_rollup");
    const char* line = rollup.ok ? std::strstr(rollup.bytes, "\nPss:") : nullptr;
    return line == nullptr ? wire::memory_unknown : std::strtoull(line + 5, nullptr, 10) * kibibyte;
}

std::uint64_t figure_of(const wire::MemoryRequest::Member& member, wire::MemoryFigure figure) {
    const ProcDirectory process(member.pid);
    if (!process.is_started_at(member.start_time)) {
        return wire::memory_unknown;
    }
    return figure == wire::MemoryFigure::resident ? resident(process) : proportional(process);
}

}  // namespace

void read_figures(const wire::MemoryRequest& request, wire::MemoryAnswer& answer) {
    answer.id = request.id;
    for (std::uint32_t at = 0; at < wire::memory_members; ++at) {
        const bool wanted = at < request.count && monotonic_ns() < request.until_ns;
        answer.bytes[at] = wanted ? figure_of(request.members[at], request.figure) : wire::memory_unknown;
    }
}

}  // namespace gpcsup::enforcement
