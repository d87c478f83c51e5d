#include "sys/netlink.h"

#include <linux/cn_proc.h>
#include <linux/genetlink.h>
#include <linux/netlink.h>
#include <linux/taskstats.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <string>
#include <vector>

#include "sys/connector_layout.h"

namespace gpcsup::sys {
namespace {

constexpr int queue_bytes =
    8 * 1024 * 1024;  // some 15,000 events; unprivileged the kernel cuts it to net.core.rmem_max
constexpr std::size_t message_bytes = 1024;
constexpr std::size_t batch = 32;

base::Result<base::Fd> open_netlink(int protocol, std::uint32_t groups, const char* name) {
    base::Fd socket(::socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, protocol));
    if (!socket) {
        return base::fail(errno, "open", name);
    }
    if (::setsockopt(socket.get(), SOL_SOCKET, SO_RCVBUFFORCE, &queue_bytes, sizeof queue_bytes) != 0) {
        (void)::setsockopt(socket.get(), SOL_SOCKET, SO_RCVBUF, &queue_bytes, sizeof queue_bytes);
    }
    sockaddr_nl address{};
    address.nl_family = AF_NETLINK;
    address.nl_groups = groups;
    if (::bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
        return base::fail(errno, "bind", name);
    }
    return socket;
}

std::chrono::milliseconds until(std::chrono::steady_clock::time_point deadline) {
    const auto left = deadline - std::chrono::steady_clock::now();
    return std::max(std::chrono::ceil<std::chrono::milliseconds>(left), std::chrono::milliseconds(0));
}

base::Result<> wait_readable(int socket, std::chrono::steady_clock::time_point deadline, const char* name) {
    for (;;) {
        pollfd entry{.fd = socket, .events = POLLIN, .revents = 0};
        const int count = ::poll(&entry, 1, static_cast<int>(until(deadline).count()));
        if (count > 0) {
            return {};
        }
        if (count == 0) {
            return base::fail(ETIMEDOUT, "wait for the answer of", name);
        }
        if (errno != EINTR) {
            return base::fail(errno, "poll", name);
        }
    }
}

constexpr std::size_t padded(std::size_t size) {
    return (size + NLA_ALIGNTO - 1) & ~std::size_t{NLA_ALIGNTO - 1};
}

// One generic netlink request with one string attribute, asking for an acknowledgement.
std::vector<std::byte> generic_request(std::uint16_t family, std::uint8_t command, std::uint8_t version,
                                       std::uint16_t type, const std::string& text) {
    const std::size_t attribute_size = NLA_HDRLEN + text.size() + 1;
    std::vector<std::byte> request(NLMSG_HDRLEN + GENL_HDRLEN + padded(attribute_size));
    nlmsghdr header{};
    header.nlmsg_len = static_cast<std::uint32_t>(request.size());
    header.nlmsg_type = family;
    header.nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK;
    header.nlmsg_seq = 1;
    genlmsghdr generic{};
    generic.cmd = command;
    generic.version = version;
    nlattr attribute{};
    attribute.nla_type = type;
    attribute.nla_len = static_cast<std::uint16_t>(attribute_size);
    std::byte* at = request.data();
    std::memcpy(at, &header, sizeof header);
    std::memcpy(at + NLMSG_HDRLEN, &generic, sizeof generic);
    std::memcpy(at + NLMSG_HDRLEN + GENL_HDRLEN, &attribute, sizeof attribute);
    std::memcpy(at + NLMSG_HDRLEN + GENL_HDRLEN + NLA_HDRLEN, text.c_str(), text.size() + 1);
    return request;
}

// Sends a request and reads until its acknowledgement; hands over what else arrives.
base::Result<> ask(int socket, std::span<const std::byte> request,
                   const std::function<void(std::span<const std::byte>)>& answer) {
    const char* name = "the taskstats socket";
    if (::send(socket, request.data(), request.size(), 0) < 0) {
        return base::fail(errno, "send to", name);
    }
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(1);
    std::optional<int> verdict;
    while (!verdict) {
        if (auto ready = wait_readable(socket, deadline, name); !ready) {
            return ready;
        }
        auto taken = take_messages(socket, 1, [&](std::span<const std::byte> datagram) {
            nlmsghdr header{};
            std::memcpy(&header, datagram.data(), std::min(sizeof header, datagram.size()));
            if (header.nlmsg_type != NLMSG_ERROR) {
                answer(datagram);
            } else if (datagram.size() >= NLMSG_HDRLEN + sizeof(int)) {
                int code = 0;
                std::memcpy(&code, datagram.data() + NLMSG_HDRLEN, sizeof code);
                verdict = -code;
            }
        });
        if (!taken) {
            return base::pass(taken);
        }
    }
    if (*verdict != 0) {
        return base::fail(*verdict, "register with", "taskstats");
    }
    return {};
}

std::uint16_t family_number(std::span<const std::byte> datagram) {
    std::size_t at = NLMSG_HDRLEN + GENL_HDRLEN;
    while (at + NLA_HDRLEN <= datagram.size()) {
        nlattr attribute{};
        std::memcpy(&attribute, datagram.data() + at, sizeof attribute);
        if (attribute.nla_type == CTRL_ATTR_FAMILY_ID && at + NLA_HDRLEN + 2 <= datagram.size()) {
            std::uint16_t number = 0;
            std::memcpy(&number, datagram.data() + at + NLA_HDRLEN, sizeof number);
            return number;
        }
        at += std::max<std::size_t>(padded(attribute.nla_len), NLA_HDRLEN);
    }
    return 0;
}

}  // namespace

base::Result<Taken> take_messages(int socket, std::size_t budget,
                                  const std::function<void(std::span<const std::byte>)>& message) {
    static thread_local std::array<std::array<std::byte, message_bytes>, batch> buffers;
    std::array<mmsghdr, batch> headers{};
    std::array<iovec, batch> vectors{};
    std::array<sockaddr_nl, batch> senders{};
    for (std::size_t index = 0; index < batch; ++index) {
        vectors[index] = {buffers[index].data(), message_bytes};
        headers[index].msg_hdr.msg_iov = &vectors[index];
        headers[index].msg_hdr.msg_iovlen = 1;
        headers[index].msg_hdr.msg_name = &senders[index];
    }
    Taken taken;
    while (taken.messages < budget) {
        for (auto& header : headers) {
            header.msg_hdr.msg_namelen = sizeof(sockaddr_nl);
        }
        const auto wanted = static_cast<unsigned>(std::min(batch, budget - taken.messages));
        const int count = ::recvmmsg(socket, headers.data(), wanted, MSG_DONTWAIT, nullptr);
        if (count < 0) {
            switch (errno) {
                case EINTR:
                    continue;
                case ENOBUFS:
                    ++taken.overruns;
                    continue;
                case EAGAIN:
                    return taken;
                default:
                    return base::fail(errno, "receive from", "a netlink socket");
            }
        }
        for (std::size_t index = 0; index < static_cast<std::size_t>(count); ++index) {
            const bool from_kernel = senders[index].nl_family != AF_NETLINK || senders[index].nl_pid == 0;
            if (from_kernel) {
                message(std::span(buffers[index]).first(headers[index].msg_len));
            }
        }
        taken.messages += static_cast<std::size_t>(count);
    }
    taken.end = TakeEnd::more;
    return taken;
}

base::Result<base::Fd> open_connector(std::chrono::milliseconds patience) {
    const char* name = "the process connector";
    auto socket = open_netlink(NETLINK_CONNECTOR, connector_index, name);
    if (!socket) {
        return socket;
    }
    // Acknowledgements go to every listener: a number of our own tells ours from another's.
    const auto mark =
        static_cast<std::uint32_t>(std::chrono::steady_clock::now().time_since_epoch().count()) ^
        (static_cast<std::uint32_t>(::getpid()) << 12);
    struct Request {
        nlmsghdr header;
        ConnectorHeader connector;
        proc_cn_mcast_op operation;
    } request{};
    static_assert(sizeof request == NLMSG_HDRLEN + sizeof(ConnectorHeader) + sizeof(int));
    request.header.nlmsg_len = sizeof request;
    request.header.nlmsg_type = NLMSG_DONE;
    request.connector.index = connector_index;
    request.connector.value = connector_value;
    request.connector.sequence = mark;
    request.connector.acknowledged = mark;
    request.connector.length = sizeof request.operation;
    request.operation = PROC_CN_MCAST_LISTEN;
    if (::send(socket->get(), &request, sizeof request, 0) < 0) {
        return base::fail(errno, "subscribe to", name);
    }
    const auto deadline = std::chrono::steady_clock::now() + patience;
    std::optional<std::uint32_t> verdict;
    while (!verdict) {
        if (auto ready = wait_readable(socket->get(), deadline, name); !ready) {
            return base::pass(ready);
        }
        auto taken = take_messages(socket->get(), 1, [&](std::span<const std::byte> datagram) {
            const auto message = parse_connector(datagram);
            if (message && message->kind == ConnectorKind::acknowledgement &&
                message->acknowledged == mark + 1) {
                verdict = message->value;
            }
        });
        if (!taken) {
            return base::pass(taken);
        }
    }
    if (*verdict != 0) {
        return base::fail(static_cast<int>(*verdict), "subscribe to", name);
    }
    return socket;
}

base::Result<base::Fd> open_taskstats() {
    auto socket = open_netlink(NETLINK_GENERIC, 0, "the taskstats socket");
    if (!socket) {
        return socket;
    }
    std::uint16_t family = 0;
    const auto lookup =
        generic_request(GENL_ID_CTRL, CTRL_CMD_GETFAMILY, 1, CTRL_ATTR_FAMILY_NAME, TASKSTATS_GENL_NAME);
    auto found = ask(socket->get(), lookup,
                     [&](std::span<const std::byte> datagram) { family = family_number(datagram); });
    if (!found) {
        return base::pass(found);
    }
    if (family == 0) {
        return base::fail(EPROTO, "find", "taskstats");
    }
    const long cpus = ::sysconf(_SC_NPROCESSORS_CONF);
    const auto join = generic_request(family, TASKSTATS_CMD_GET, TASKSTATS_GENL_VERSION,
                                      TASKSTATS_CMD_ATTR_REGISTER_CPUMASK, "0-" + std::to_string(cpus - 1));
    if (auto joined = ask(socket->get(), join, [](std::span<const std::byte>) {}); !joined) {
        return base::pass(joined);
    }
    return socket;
}

}  // namespace gpcsup::sys
