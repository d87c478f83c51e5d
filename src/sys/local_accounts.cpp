#include "sys/local_accounts.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>

#include "base/fd.h"

namespace gpcsup::sys {

namespace {

constexpr std::size_t largest_file = std::size_t{8}
                                     << 20;  // a hundred thousand accounts; the rest is not read
constexpr std::uint32_t no_number = 0xffffffff;

// O_NONBLOCK: what is there instead of a file may not stop the supervisor.
std::string read_file(const std::string& path) {
    std::string text;
    const base::Fd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
    struct stat status {};
    if (!file || ::fstat(file.get(), &status) != 0 || !S_ISREG(status.st_mode)) {
        return text;
    }
    std::array<char, 16384> buffer{};
    while (text.size() < largest_file) {
        const ssize_t got = ::read(file.get(), buffer.data(), buffer.size());
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got <= 0) {
            break;
        }
        text.append(buffer.data(), static_cast<std::size_t>(got));
    }
    return text;
}

// The fields of a line, at most as many as are wanted; missing ones are empty.
template <std::size_t count>
std::array<std::string_view, count> fields_of(std::string_view line) {
    std::array<std::string_view, count> fields;
    for (std::string_view& field : fields) {
        const std::size_t colon = std::min(line.find(':'), line.size());
        field = line.substr(0, colon);
        line.remove_prefix(std::min(colon + 1, line.size()));
    }
    return fields;
}

std::optional<std::uint32_t> number_of(std::string_view text) {
    std::uint32_t number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (error != std::errc() || end != text.data() + text.size() || number == no_number) {
        return std::nullopt;
    }
    return number;
}

template <class Visit>
void each_line(std::string_view text, Visit&& visit) {
    while (!text.empty()) {
        const std::size_t end = std::min(text.find('\n'), text.size());
        visit(text.substr(0, end));
        text.remove_prefix(std::min(end + 1, text.size()));
    }
}

bool lists(std::string_view members, std::string_view name) {
    while (!members.empty()) {
        const std::size_t end = std::min(members.find(','), members.size());
        if (members.substr(0, end) == name) {
            return true;
        }
        members.remove_prefix(std::min(end + 1, members.size()));
    }
    return false;
}

template <class Map, class Key>
auto value_of(const Map& map, const Key& key) -> std::optional<typename Map::mapped_type> {
    const auto found = map.find(key);
    return found == map.end() ? std::nullopt : std::optional(found->second);
}

}  // namespace

LocalAccounts::Seen LocalAccounts::look(const std::string& path) {
    struct stat status {};
    if (::stat(path.c_str(), &status) != 0) {
        return {.size = 0};
    }
    return {status.st_dev, status.st_ino, status.st_size,
            std::int64_t{status.st_mtim.tv_sec} * 1'000'000'000 + status.st_mtim.tv_nsec};
}

void LocalAccounts::refresh() {
    if (const Seen now = look(files_.users); now != users_seen_) {
        users_seen_ = now;
        read_users(read_file(files_.users));
    }
    if (const Seen now = look(files_.groups); now != groups_seen_) {
        groups_seen_ = now;
        read_groups(read_file(files_.groups));
    }
}

void LocalAccounts::read_users(std::string_view text) {
    users_.clear();
    user_names_.clear();
    each_line(text, [this](std::string_view line) {
        const auto [name, password, uid, gid] = fields_of<4>(line);
        const auto number = number_of(uid);
        const auto group = number_of(gid);
        if (name.empty() || !number || !group) {
            return;  // a comment, a "+" of NIS, or damage
        }
        users_.try_emplace(std::string(name), User{*number, *group});
        user_names_.try_emplace(*number, name);
    });
}

void LocalAccounts::read_groups(std::string_view text) {
    groups_.clear();
    group_names_.clear();
    each_line(text, [this](std::string_view line) {
        const auto [name, password, gid, members] = fields_of<4>(line);
        const auto number = number_of(gid);
        if (name.empty() || !number) {
            return;
        }
        groups_.try_emplace(std::string(name), Group{*number, std::string(members)});
        group_names_.try_emplace(*number, name);
    });
}

std::optional<std::uint32_t> LocalAccounts::user_number(std::string_view name) const {
    const auto found = users_.find(name);
    return found == users_.end() ? std::nullopt : std::optional(found->second.number);
}

std::optional<std::uint32_t> LocalAccounts::group_number(std::string_view name) const {
    const auto found = groups_.find(name);
    return found == groups_.end() ? std::nullopt : std::optional(found->second.number);
}

std::optional<std::string> LocalAccounts::user_name(std::uint32_t number) const {
    return value_of(user_names_, number);
}

std::optional<std::string> LocalAccounts::group_name(std::uint32_t number) const {
    return value_of(group_names_, number);
}

std::vector<std::uint32_t> LocalAccounts::groups_of(std::string_view user) const {
    std::vector<std::uint32_t> numbers;
    const auto found = users_.find(user);
    if (found == users_.end()) {
        return numbers;
    }
    numbers.push_back(found->second.group);
    for (const auto& [name, group] : groups_) {
        if (group.number != found->second.group && lists(group.members, user)) {
            numbers.push_back(group.number);
        }
    }
    return numbers;
}

}  // namespace gpcsup::sys
