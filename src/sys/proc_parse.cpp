#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>

#include "sys/proc_files.h"

namespace gpcsup::sys {
namespace {

template <class Number>
std::optional<Number> take_number(std::string_view& text) {
    while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) {
        text.remove_prefix(1);
    }
    Number number{};
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (error != std::errc{}) {
        return std::nullopt;
    }
    text.remove_prefix(static_cast<std::size_t>(end - text.data()));
    return number;
}

std::unexpected<base::Error> bad_stat(std::string_view text) {
    return base::fail(EBADMSG, "parse", "/proc/PID/stat: " + std::string(text.substr(0, 80)));
}

constexpr std::size_t first_number = 4;  // field numbers of proc(5): 1 pid, 2 comm, 3 state, 4 ppid, …
constexpr std::size_t last_number = 22;

}  // namespace

base::Result<ProcStat> parse_stat(std::string_view text) {
    ProcStat stat;
    std::string_view rest = text;
    const auto pid = take_number<pid_t>(rest);
    // A process may call itself ") R 1 1": only the last parenthesis ends the name.
    const auto open = rest.find('(');
    const auto close = rest.rfind(')');
    if (!pid || open == std::string_view::npos || close == std::string_view::npos || close < open ||
        rest.size() < close + 3) {
        return bad_stat(text);
    }
    stat.pid = *pid;
    stat.name = rest.substr(open + 1, close - open - 1);
    stat.state = rest[close + 2];
    rest.remove_prefix(close + 3);
    std::array<std::int64_t, last_number + 1> field{};
    for (std::size_t index = first_number; index <= last_number; ++index) {
        const auto number = take_number<std::int64_t>(rest);
        if (!number) {
            // tty flags and the like may exceed 63 bits in theory; nothing we use does.
            const auto wide = take_number<std::uint64_t>(rest);
            if (!wide) {
                return bad_stat(text);
            }
            field[index] = static_cast<std::int64_t>(*wide);
            continue;
        }
        field[index] = *number;
    }
    // Read while the process is released, it has no parent, no time and no thread any more (fs/proc/array.c,
    // do_task_stat: what is taken under its sighand lock stays zero). Taken for true, such a zombie would be
    // nobody's child, and what it has used nobody's children time.
    if (field[20] == 0) {
        return base::fail(ESRCH, "read", "/proc/" + std::to_string(*pid) + "/stat");
    }
    stat.parent = static_cast<pid_t>(field[4]);
    stat.process_group = static_cast<pid_t>(field[5]);
    stat.session = static_cast<pid_t>(field[6]);
    stat.user = static_cast<std::uint64_t>(field[14]);
    stat.system = static_cast<std::uint64_t>(field[15]);
    stat.children_user = static_cast<std::uint64_t>(field[16]);
    stat.children_system = static_cast<std::uint64_t>(field[17]);
    stat.threads = static_cast<std::uint32_t>(field[20]);
    stat.start_time = static_cast<std::uint64_t>(field[22]);
    return stat;
}

base::Result<std::vector<pid_t>> parse_children(std::string_view text) {
    std::vector<pid_t> children;
    while (text.find_first_not_of(" \n") != std::string_view::npos) {
        const auto pid = take_number<pid_t>(text);
        if (!pid || *pid <= 0) {
            return base::fail(EBADMSG, "parse", "/proc/PID/task/TID/children");
        }
        children.push_back(*pid);
    }
    return children;
}

std::optional<std::string> environment_value(std::string_view environ, std::string_view name) {
    while (!environ.empty()) {
        const auto end = environ.find('\0');
        const std::string_view entry = environ.substr(0, end);
        if (entry.size() > name.size() && entry.starts_with(name) && entry[name.size()] == '=') {
            return std::string(entry.substr(name.size() + 1));
        }
        if (end == std::string_view::npos) {
            break;
        }
        environ.remove_prefix(end + 1);
    }
    return std::nullopt;
}

std::optional<bool> ignores_signal(std::string_view status, int signal) {
    constexpr std::string_view key = "\nSigIgn:";
    const auto place = status.find(key);
    if (place == std::string_view::npos) {
        return std::nullopt;
    }
    std::string_view rest = status.substr(place + key.size());
    rest.remove_prefix(std::min(rest.find_first_not_of(" \t"), rest.size()));
    std::uint64_t mask = 0;
    const auto [end, error] = std::from_chars(rest.data(), rest.data() + rest.size(), mask, 16);
    if (error != std::errc{} || end == rest.data()) {
        return std::nullopt;
    }
    return ((mask >> (signal - 1)) & 1u) != 0;
}

base::Result<ProcIdentity> parse_identity(std::string_view status) {
    const auto line_of = [status](std::string_view key) -> std::optional<std::string_view> {
        const auto place = status.find(key);
        if (place == std::string_view::npos) {
            return std::nullopt;
        }
        const std::string_view rest = status.substr(place + key.size());
        const auto end = rest.find('\n');
        // A line that is cut off (thousands of groups) ends with its last whole number.
        return end != std::string_view::npos ? rest.substr(0, end) : rest.substr(0, rest.rfind(' ') + 1);
    };
    ProcIdentity identity;
    auto users = line_of("\nUid:");
    auto groups = line_of("\nGid:");
    const auto user = users ? take_number<uid_t>(*users) : std::nullopt;
    const auto group = groups ? take_number<gid_t>(*groups) : std::nullopt;
    if (!user || !group) {
        return base::fail(EBADMSG, "parse", "/proc/PID/status");
    }
    identity.user = *user;
    identity.group = *group;
    if (auto others = line_of("\nGroups:")) {
        while (const auto other = take_number<gid_t>(*others)) {
            identity.groups.push_back(*other);
        }
    }
    return identity;
}

std::optional<ProcUsers> users_of(std::string_view status) {
    constexpr std::string_view key = "\nUid:";
    const auto place = status.find(key);
    if (place == std::string_view::npos) {
        return std::nullopt;
    }
    std::string_view rest = status.substr(place + key.size());
    ProcUsers users;
    for (uid_t* user : {&users.real, &users.effective, &users.saved}) {
        rest.remove_prefix(std::min(rest.find_first_not_of(" \t"), rest.size()));
        const auto [end, error] = std::from_chars(rest.data(), rest.data() + rest.size(), *user);
        if (error != std::errc{}) {
            return std::nullopt;
        }
        rest.remove_prefix(static_cast<std::size_t>(end - rest.data()));
    }
    return users;
}

std::optional<base::CpuList> cpus_allowed(std::string_view status) {
    constexpr std::string_view key = "\nCpus_allowed_list:\t";
    const auto place = status.find(key);
    const auto end = place != std::string_view::npos ? status.find('\n', place + key.size()) : place;
    if (end == std::string_view::npos) {
        return std::nullopt;
    }
    auto cpus = base::parse_cpu_list(status.substr(place + key.size(), end - place - key.size()));
    return cpus ? std::optional(std::move(*cpus)) : std::nullopt;
}

pid_t process_of(std::string_view status) {
    constexpr std::string_view key = "\nTgid:\t";
    const auto place = status.find(key);
    pid_t process = 0;
    if (place != std::string_view::npos) {
        (void)std::from_chars(status.data() + place + key.size(), status.data() + status.size(), process);
    }
    return process;
}

std::uint64_t nanoseconds_of_ticks(std::uint64_t ticks) {
    static const auto per_second = static_cast<std::uint64_t>(::sysconf(_SC_CLK_TCK));
    return ticks * (1'000'000'000u / per_second);
}

}  // namespace gpcsup::sys
