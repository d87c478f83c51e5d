// Who a trapped caller is, and whom it means: pid namespaces and users, from /proc.

#include <array>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <filesystem>
#include <optional>
#include <string>
#include <utility>

#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "launch/affinity_calls.h"

// Linux 6.11; not in the headers of Debian 12.
#ifndef NS_GET_PID_FROM_PIDNS
#define NS_GET_PID_FROM_PIDNS _IOR(0xb7, 0x6, int)
#endif

namespace gpcsup::launch {
namespace {

constexpr unsigned capability_sys_nice = 23;

std::optional<std::pair<dev_t, ino_t>> user_namespace(const std::string& process) {
    struct stat about {};
    if (stat(("/proc/" + process + "/ns/user").c_str(), &about) != 0) {
        return std::nullopt;
    }
    return std::pair(about.st_dev, about.st_ino);
}

// A capability counts in its own user namespace and in those below, which anybody may make for himself. Of
// those below, only ours is known to be above all others here.
bool reigns(pid_t caller, pid_t target) {
    const auto callers = user_namespace(std::to_string(caller));
    return callers &&
           (callers == user_namespace(std::to_string(target)) || callers == user_namespace("self"));
}

// /proc/PID/status. A threads' number works as well as a process's.
std::string read_status(pid_t pid) {
    const base::Fd file(open(("/proc/" + std::to_string(pid) + "/status").c_str(), O_RDONLY | O_CLOEXEC));
    std::string text(8192, '\0');
    const ssize_t got = file ? read(file.get(), text.data(), text.size()) : -1;
    text.resize(got > 0 ? static_cast<std::size_t>(got) : 0);
    return text;
}

// The numbers of a line "Name:\t1\t2…", in that base.
std::vector<std::uint64_t> numbers(const std::string& status, std::string_view name, int radix = 10) {
    std::vector<std::uint64_t> found;
    const std::size_t at = status.find("\n" + std::string(name) + ":");
    if (at == std::string::npos) {
        return found;
    }
    const char* cursor = status.data() + at + name.size() + 2;
    const char* end = status.data() + std::min(status.find('\n', at + 1), status.size());
    while (cursor < end) {
        std::uint64_t value = 0;
        const auto [next, error] = std::from_chars(cursor, end, value, radix);
        if (error == std::errc()) {
            found.push_back(value);
            cursor = next;
        } else {
            ++cursor;
        }
    }
    return found;
}

std::unexpected<base::Error> no_thread(pid_t number) {
    return base::fail(ESRCH, "find", "thread " + std::to_string(number));
}

// Before Linux 6.11: threads of the caller's own process and the leaders of all others, by their innermost
// number.
base::Result<pid_t> scan_for(pid_t caller, pid_t number, std::size_t depth) {
    const auto matches = [&](const std::string& name) -> std::optional<pid_t> {
        pid_t pid = 0;
        if (std::from_chars(name.data(), name.data() + name.size(), pid).ec != std::errc()) {
            return std::nullopt;
        }
        const auto inner = numbers(read_status(pid), "NSpid");
        const bool same = inner.size() == depth && inner.back() == static_cast<std::uint64_t>(number);
        return same ? std::optional(pid) : std::nullopt;
    };
    for (const std::string& directory : {"/proc/" + std::to_string(caller) + "/task", std::string("/proc")}) {
        std::error_code error;
        for (const auto& entry : std::filesystem::directory_iterator(directory, error)) {
            if (const auto pid = matches(entry.path().filename().string())) {
                return *pid;
            }
        }
    }
    return no_thread(number);
}

}  // namespace

base::Result<pid_t> translate_thread(pid_t caller, pid_t number) {
    if (caller <= 0 || number < 0) {
        return no_thread(number);
    }
    if (number == 0) {
        return caller;
    }
    const auto depth = numbers(read_status(caller), "NSpid").size();
    if (depth == 0) {
        return no_thread(caller);
    }
    if (depth == 1) {
        return number;  // the caller is in the namespace of our own /proc
    }
    const base::Fd space(open(("/proc/" + std::to_string(caller) + "/ns/pid").c_str(), O_RDONLY | O_CLOEXEC));
    if (space) {
        const int translated = ioctl(space.get(), NS_GET_PID_FROM_PIDNS, number);
        if (translated > 0) {
            return translated;
        }
        if (errno == ESRCH) {
            return no_thread(number);
        }
    }
    return scan_for(caller, number, depth);
}

base::Result<> may_schedule(pid_t caller, pid_t target) {
    const std::string caller_status = read_status(caller);
    const auto callers = numbers(caller_status, "Uid");  // real, effective, saved, file system
    const auto targets = numbers(read_status(target), "Uid");
    const auto capabilities = numbers(caller_status, "CapEff", 16);
    if (targets.size() < 2) {
        return no_thread(target);
    }
    if (callers.size() < 2 || capabilities.empty()) {
        return no_thread(caller);
    }
    const bool owner = callers[1] == targets[0] || callers[1] == targets[1];
    const bool capable = (capabilities[0] >> capability_sys_nice & 1) != 0;
    if (!owner && !(capable && reigns(caller, target))) {
        return base::fail(EPERM, "set the affinity of", "thread " + std::to_string(target));
    }
    return {};
}

}  // namespace gpcsup::launch
