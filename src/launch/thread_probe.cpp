// SystemThreadProbe: what /proc shows of a thread. Every file is opened for the moment: threads come and go
// by the thousand.

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <cstring>
#include <string_view>

#include <fcntl.h>
#include <linux/kcmp.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "launch/recount.h"

namespace gpcsup::launch {
namespace {

constexpr std::uint64_t unreadable_age_ns = 100'000'000;

// A small file of /proc/TID. Empty with errno set when it cannot be read.
template <std::size_t Size>
std::string_view read_file(pid_t tid, const char* name, std::array<char, Size>& buffer) {
    std::array<char, 96> path;
    std::snprintf(path.data(), path.size(), "/proc/%d/%s", static_cast<int>(tid), name);
    const base::Fd file(open(path.data(), O_RDONLY | O_CLOEXEC));
    if (!file) {
        return {};
    }
    errno = 0;
    const ssize_t got = read(file.get(), buffer.data(), buffer.size());
    return got <= 0 ? std::string_view() : std::string_view(buffer.data(), static_cast<std::size_t>(got));
}

// A vforked child shares its parent's memory until it execs; nothing else of that parent's does so while it
// sleeps in vfork.
bool has_borrower(pid_t tid) {
    std::array<char, 64> name;
    std::snprintf(name.data(), name.size(), "task/%d/children", static_cast<int>(tid));
    std::array<char, 4096> buffer;
    std::string_view list = read_file(tid, name.data(), buffer);
    while (!list.empty()) {
        pid_t child = 0;
        const auto [end, error] = std::from_chars(list.data(), list.data() + list.size(), child);
        if (error != std::errc()) {
            break;
        }
        if (syscall(SYS_kcmp, tid, child, KCMP_VM, 0, 0) == 0) {
            return true;
        }
        list.remove_prefix(std::min(list.size(), static_cast<std::size_t>(end - list.data()) + 1));
    }
    return false;
}

// Without the right to look into the thread (Yama, another user): a fork that took longer than this is over.
ThreadState judge_by_age(std::uint64_t continued_ns) {
    return monotonic_ns() > continued_ns + unreadable_age_ns ? ThreadState::elsewhere : ThreadState::running;
}

}  // namespace

ThreadState SystemThreadProbe::look(pid_t tid, std::uint32_t call, std::uint64_t continued_ns) {
    std::array<char, 256> buffer;
    const std::string_view text = read_file(tid, "syscall", buffer);
    if (text.empty()) {
        return errno == ENOENT || errno == ESRCH ? ThreadState::gone : judge_by_age(continued_ns);
    }
    if (text.starts_with("running")) {
        return ThreadState::running;
    }
    std::uint32_t number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (error != std::errc() || number != (call & wire::flight_number)) {
        return ThreadState::elsewhere;  // another call, or -1: asleep outside any call
    }
    const bool borrowed = (call & wire::flight_waits_for_child) != 0 && has_borrower(tid);
    return borrowed ? ThreadState::elsewhere : ThreadState::in_call;
}

}  // namespace gpcsup::launch
