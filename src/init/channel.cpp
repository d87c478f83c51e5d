#include "init/channel.h"

#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace gpcsup::init {

namespace {

constexpr unsigned most_descriptors =
    8;  // more than anybody may send: what is too many is closed, not leaked

struct Packet {
    Got got = Got::nothing;
    int descriptors[most_descriptors];
    unsigned count = 0;
    bool truncated = false;
};

void close_all(Packet& packet) {
    while (packet.count > 0) {
        close(packet.descriptors[--packet.count]);
    }
}

Packet receive_packet(int socket, void* data, std::size_t size) {
    Packet packet;
    iovec part{data, size};
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int) * most_descriptors)];
    msghdr header{};
    header.msg_iov = &part;
    header.msg_iovlen = 1;
    header.msg_control = control;
    header.msg_controllen = sizeof control;
    ssize_t length = recvmsg(socket, &header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (length < 0) {
        packet.got = errno == EAGAIN || errno == EINTR ? Got::nothing : Got::closed;
        return packet;
    }
    for (cmsghdr* item = CMSG_FIRSTHDR(&header); item != nullptr; item = CMSG_NXTHDR(&header, item)) {
        if (item->cmsg_level == SOL_SOCKET && item->cmsg_type == SCM_RIGHTS) {
            packet.count = static_cast<unsigned>((item->cmsg_len - CMSG_LEN(0)) / sizeof(int));
            memcpy(packet.descriptors, CMSG_DATA(item), packet.count * sizeof(int));
        }
    }
    packet.truncated = (header.msg_flags & MSG_CTRUNC) != 0;
    if (length == 0) {
        packet.got = Got::closed;
    } else if (static_cast<std::size_t>(length) != size || (header.msg_flags & MSG_TRUNC) != 0) {
        packet.got = Got::malformed;
    } else {
        packet.got = Got::message;
    }
    if (packet.got != Got::message) {
        close_all(packet);
    }
    return packet;
}

}  // namespace

Sent send_message(int socket, const wire::KeepMessage& message, int descriptor) {
    wire::KeepMessage copy = message;
    iovec part{&copy, sizeof copy};
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
    msghdr header{};
    header.msg_iov = &part;
    header.msg_iovlen = 1;
    if (descriptor >= 0) {
        header.msg_control = control;
        header.msg_controllen = sizeof control;
        cmsghdr* item = CMSG_FIRSTHDR(&header);
        item->cmsg_level = SOL_SOCKET;
        item->cmsg_type = SCM_RIGHTS;
        item->cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(item), &descriptor, sizeof descriptor);
    }
    if (sendmsg(socket, &header, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0) {
        return Sent::done;
    }
    switch (errno) {
        case EAGAIN:
        case EINTR:
            return Sent::full;
        case ETOOMANYREFS:
        case ENOBUFS:
        case ENOMEM:
            return Sent::denied;
        default:
            return Sent::gone;
    }
}

Received receive_message(int socket) {
    Received received;
    Packet packet = receive_packet(socket, &received.message, sizeof received.message);
    received.got = packet.got;
    received.truncated = packet.truncated;
    if (packet.got != Got::message) {
        return received;
    }
    if (packet.count == 1) {
        received.descriptor = packet.descriptors[0];
    } else {
        close_all(packet);
    }
    received.message.name[sizeof received.message.name - 1] = '\0';
    return received;
}

ReceivedHandover receive_handover(int socket) {
    ReceivedHandover received;
    Packet packet = receive_packet(socket, &received.message, sizeof received.message);
    received.got = packet.got;
    received.truncated = packet.truncated;
    if (packet.got != Got::message) {
        return received;
    }
    if (packet.count == 2) {
        received.listener = packet.descriptors[0];
        received.answer = packet.descriptors[1];
    } else {
        close_all(packet);
        received.got = Got::malformed;
    }
    return received;
}

}  // namespace gpcsup::init
