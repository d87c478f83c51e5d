#include "launch/notify_message.h"

#include <array>
#include <cerrno>
#include <charconv>
#include <cstring>

#include <sys/socket.h>

namespace gpcsup::launch {
namespace {

constexpr std::size_t max_datagram = 4096;    // as NOTIFY_BUFFER_MAX of systemd
constexpr std::size_t max_descriptors = 253;  // SCM_MAX_FD
constexpr std::size_t max_status = 1024;
constexpr int option_pass_pidfd = 76;  // SO_PASSPIDFD, Linux 6.5
constexpr int message_pidfd = 4;       // SCM_PIDFD

template <class Number>
std::optional<Number> number(std::string_view text) {
    Number value{};
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc() || end != text.data() + text.size()) {
        return std::nullopt;
    }
    return value;
}

std::optional<std::chrono::microseconds> microseconds(std::string_view text) {
    const auto value = number<std::uint64_t>(text);
    if (!value || *value > static_cast<std::uint64_t>(std::chrono::microseconds::max().count())) {
        return std::nullopt;
    }
    return std::chrono::microseconds(*value);
}

std::string printable(std::string_view text) {
    std::string line(text.substr(0, max_status));
    for (char& character : line) {
        if (static_cast<unsigned char>(character) < 0x20 || character == 0x7f) {
            character = ' ';
        }
    }
    return line;
}

bool is_fd_name(std::string_view name) {
    if (name.empty() || name.size() > 255) {
        return false;
    }
    for (const char character : name) {
        if (static_cast<unsigned char>(character) < 0x21 || character == ':' || character == 0x7f) {
            return false;
        }
    }
    return true;
}

struct Rule {
    std::string_view name;
    // Whether the value made sense.
    bool (*apply)(std::string_view value, NotifyMessage& message);
};

bool set_flag(bool& flag, std::string_view value) {
    flag = flag || value == "1";
    return value == "1";
}

template <class T>
bool set_value(std::optional<T>& target, const std::optional<T>& value) {
    if (value) {
        target = value;
    }
    return value.has_value();
}

bool set_watchdog(std::string_view value, NotifyMessage& message) {
    if (value == "1") {
        message.watchdog = WatchdogWord::ping;
    } else if (value == "trigger") {
        message.watchdog = WatchdogWord::trigger;
    } else {
        return false;
    }
    return true;
}

bool set_main_pid(std::string_view value, NotifyMessage& message) {
    const auto pid = number<pid_t>(value);
    return pid && *pid > 0 && set_value(message.main_pid, pid);
}

bool set_fd_name(std::string_view value, NotifyMessage& message) {
    return is_fd_name(value) && set_value(message.fd_name, std::optional(std::string(value)));
}

constexpr std::array<Rule, 14> rules = {{
    {"READY", [](std::string_view value, NotifyMessage& message) { return set_flag(message.ready, value); }},
    {"RELOADING",
     [](std::string_view value, NotifyMessage& message) { return set_flag(message.reloading, value); }},
    {"STOPPING",
     [](std::string_view value, NotifyMessage& message) { return set_flag(message.stopping, value); }},
    {"BARRIER",
     [](std::string_view value, NotifyMessage& message) { return set_flag(message.barrier, value); }},
    {"FDSTORE",
     [](std::string_view value, NotifyMessage& message) { return set_flag(message.fd_store, value); }},
    {"FDSTOREREMOVE",
     [](std::string_view value, NotifyMessage& message) { return set_flag(message.fd_store_remove, value); }},
    {"STATUS",
     [](std::string_view value, NotifyMessage& message) {
         return set_value(message.status, std::optional(printable(value)));
     }},
    {"ERRNO", [](std::string_view value,
                 NotifyMessage& message) { return set_value(message.error, number<int>(value)); }},
    {"MAINPID", set_main_pid},
    {"MONOTONIC_USEC",
     [](std::string_view value, NotifyMessage& message) {
         return set_value(message.monotonic, microseconds(value));
     }},
    {"EXTEND_TIMEOUT_USEC",
     [](std::string_view value, NotifyMessage& message) {
         return set_value(message.extend_timeout, microseconds(value));
     }},
    {"WATCHDOG_USEC",
     [](std::string_view value, NotifyMessage& message) {
         return set_value(message.watchdog_period, microseconds(value));
     }},
    {"WATCHDOG", set_watchdog},
    {"FDNAME", set_fd_name},
}};

void take_line(std::string_view line, NotifyMessage& message) {
    const std::size_t equals = line.find('=');
    if (line.empty()) {
        return;
    }
    const std::string_view name = line.substr(0, equals);
    if (equals != std::string_view::npos) {
        for (const Rule& rule : rules) {
            if (rule.name == name && rule.apply(line.substr(equals + 1), message)) {
                return;
            }
        }
    }
    message.unknown.emplace_back(name);
}

void take_control(const cmsghdr& header, ReceivedNotify& received) {
    const auto* data = CMSG_DATA(&header);
    if (header.cmsg_level != SOL_SOCKET) {
        return;
    }
    if (header.cmsg_type == SCM_CREDENTIALS) {
        ucred sender{};
        std::memcpy(&sender, data, sizeof(sender));
        received.pid = sender.pid;
        received.uid = sender.uid;
    } else if (header.cmsg_type == SCM_RIGHTS) {
        const std::size_t count = (header.cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (std::size_t i = 0; i < count; ++i) {
            int descriptor = -1;
            std::memcpy(&descriptor, data + i * sizeof(int), sizeof(int));
            received.descriptors.emplace_back(descriptor);
        }
    } else if (header.cmsg_type == message_pidfd) {
        int descriptor = -1;
        std::memcpy(&descriptor, data, sizeof(int));
        received.pidfd.reset(descriptor);
    }
}

}  // namespace

NotifyMessage parse_notify(std::string_view text) {
    NotifyMessage message;
    while (!text.empty()) {
        const std::size_t end = text.find('\n');
        take_line(text.substr(0, end), message);
        text = end == std::string_view::npos ? std::string_view() : text.substr(end + 1);
    }
    return message;
}

base::Result<> prepare_notify_socket(int descriptor) {
    const int on = 1;
    if (setsockopt(descriptor, SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)) != 0) {
        return base::fail(errno, "ask for credentials on", "the notify socket");
    }
    // Older kernels say ENOPROTOOPT: the sender is then identified by pid alone, checked against its group.
    static_cast<void>(setsockopt(descriptor, SOL_SOCKET, option_pass_pidfd, &on, sizeof(on)));
    return {};
}

base::Result<ReceivedNotify> peek_notify(int descriptor) {
    std::array<char, max_datagram> text;
    alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(ucred)) + CMSG_SPACE(sizeof(int)) +
                                          CMSG_SPACE(sizeof(int) * max_descriptors)>
        control;
    iovec part{text.data(), text.size()};
    msghdr envelope{};
    envelope.msg_iov = &part;
    envelope.msg_iovlen = 1;
    envelope.msg_control = control.data();
    envelope.msg_controllen = control.size();
    const ssize_t got = recvmsg(descriptor, &envelope, MSG_PEEK | MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (got < 0) {
        return base::fail(errno, "read", "the notify socket");
    }
    ReceivedNotify received;
    for (cmsghdr* header = CMSG_FIRSTHDR(&envelope); header != nullptr;
         header = CMSG_NXTHDR(&envelope, header)) {
        take_control(*header, received);
    }
    received.text.assign(text.data(), static_cast<std::size_t>(got));
    if ((envelope.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0) {
        received.completeness = ReceivedNotify::Completeness::truncated;
    }
    return received;
}

base::Result<> consume_notify(int descriptor) {
    char byte = 0;
    // Without room for control data the kernel closes the queued descriptors itself.
    if (recv(descriptor, &byte, sizeof(byte), MSG_DONTWAIT | MSG_TRUNC) < 0) {
        return base::fail(errno, "consume a message of", "the notify socket");
    }
    return {};
}

}  // namespace gpcsup::launch
