#include "sys/hotplug.h"

#include <linux/netlink.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>

namespace gpcsup::sys {
namespace {

constexpr std::uint32_t from_the_kernel = 1;  // its group; 2 is udev's
constexpr int messages_at_once = 256;         // then others have their turn

}  // namespace

base::Result<base::Fd> open_hotplug() {
    base::Fd socket(::socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_KOBJECT_UEVENT));
    if (!socket) {
        return base::fail(errno, "open", "the socket of uevents");
    }
    sockaddr_nl address{};
    address.nl_family = AF_NETLINK;
    address.nl_groups = from_the_kernel;
    if (::bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
        return base::fail(errno, "bind", "the socket of uevents");
    }
    return socket;
}

// Nobody's word is taken: whoever is able to send such a message only makes the machine be looked at.
bool take_hotplug(int socket) {
    bool concerns_us = false;
    std::array<char, 2048> message;  // the kernel's bound of the variables behind it
    for (int count = 0; count < messages_at_once; ++count) {
        const ssize_t length = ::recv(socket, message.data(), message.size(), 0);
        if (length < 0 && errno == ENOBUFS) {
            concerns_us = true;
        } else if (length < 0) {
            break;
        } else {
            concerns_us =
                concerns_us || is_of_cpu_or_node({message.data(), static_cast<std::size_t>(length)});
        }
    }
    return concerns_us;
}

bool is_of_cpu_or_node(std::string_view message) {
    const std::string_view line = message.substr(0, message.find('\0'));
    const auto at = line.find('@');
    const std::string_view path = at != std::string_view::npos ? line.substr(at + 1) : std::string_view();
    return path.starts_with("/devices/system/cpu/cpu") || path.starts_with("/devices/system/node/node") ||
           path.starts_with("/devices/system/memory/memory");
}

}  // namespace gpcsup::sys
