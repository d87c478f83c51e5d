#include "enforcement/caller.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>

#include <fcntl.h>
#include <unistd.h>

namespace gpcsup::enforcement {
namespace {

constexpr unsigned max_generations =
    8;  // a process that lives long enough to be a deep ancestor has its row by then

struct Family {
    std::uint32_t tgid = 0;
    std::uint32_t parent = 0;
};

std::uint32_t field(const char* text, const char* name) {
    const char* found = std::strstr(text, name);
    return found == nullptr
               ? 0
               : static_cast<std::uint32_t>(std::strtoul(found + std::strlen(name), nullptr, 10));
}

Family read_family(std::uint32_t tid) {
    char path[40];
    std::snprintf(path, sizeof(path), "/proc/%u/status", tid);
    const int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0) {
        return {};
    }
    char text[1024];  // both fields are in the first lines
    const ssize_t got = read(file, text, sizeof(text) - 1);
    close(file);
    if (got <= 0) {
        return {};
    }
    text[got] = '\0';
    return {field(text, "\nTgid:"), field(text, "\nPPid:")};
}

const wire::Override* find_row(const wire::EnforcementTable& table, std::uint64_t domain_key,
                               std::uint32_t tgid) {
    for (std::uint32_t probe = 0; probe < wire::override_probes; ++probe) {
        const wire::Override& row = table.overrides[(tgid + probe) % wire::override_count];
        if (row.pid.load() == tgid && row.domain_key.load() == domain_key) {
            return &row;
        }
    }
    return nullptr;
}

}  // namespace

const wire::Override* find_override(const wire::EnforcementTable& table, std::uint64_t domain_key,
                                    std::uint32_t tid) {
    for (unsigned generation = 0; generation < max_generations && tid > 1; ++generation) {
        const Family family = read_family(tid);
        if (family.tgid == 0) {
            return nullptr;
        }
        if (const wire::Override* row = find_row(table, domain_key, family.tgid); row != nullptr) {
            return row;
        }
        tid = family.parent;
    }
    return nullptr;
}

}  // namespace gpcsup::enforcement
