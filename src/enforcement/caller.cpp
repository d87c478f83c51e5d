#include "enforcement/caller.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>

#include <fcntl.h>
#include <linux/capability.h>
#include <unistd.h>

namespace gpcsup::enforcement {
namespace {

constexpr std::uint64_t sys_admin = 1ULL << CAP_SYS_ADMIN;

// A small file of /proc/TID, NUL-terminated; empty when it cannot be read.
template <std::size_t Size>
bool read_text(std::uint32_t tid, const char* name, char (&text)[Size]) {
    char path[48];
    std::snprintf(path, sizeof(path), "/proc/%u/%s", tid, name);
    const int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0) {
        return false;
    }
    const ssize_t got = read(file, text, Size - 1);
    close(file);
    text[got > 0 ? got : 0] = '\0';
    return got > 0;
}

// The user namespace by its name, "user:[4026531837]". Empty when it may not be known.
template <std::size_t Size>
bool read_namespace(const char* path, char (&text)[Size]) {
    const ssize_t got = readlink(path, text, Size - 1);
    text[got > 0 ? got : 0] = '\0';
    return got > 0;
}

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
    char text[1024];  // both fields are in the first lines
    if (!read_text(tid, "status", text)) {
        return {};
    }
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
    for (unsigned generation = 0; generation < wire::override_generations && tid > 1; ++generation) {
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

Severity severity_of(std::uint32_t tid) {
    char text[4096];
    if (!read_text(tid, "status", text)) {
        return Severity::barrier;
    }
    const char* found = std::strstr(text, "\nCapEff:");
    if (found == nullptr || (std::strtoull(found + std::strlen("\nCapEff:"), nullptr, 16) & sys_admin) == 0) {
        return Severity::barrier;
    }
    // Anybody has every capability in a user namespace of his own: it counts in ours only.
    char path[48];
    std::snprintf(path, sizeof(path), "/proc/%u/ns/user", tid);
    char theirs[64];
    char ours[64];
    const bool same = read_namespace(path, theirs) && read_namespace("/proc/self/ns/user", ours) &&
                      std::strcmp(theirs, ours) == 0;
    return same ? Severity::limit : Severity::barrier;
}

}  // namespace gpcsup::enforcement
