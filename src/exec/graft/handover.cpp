#include "exec/graft/handover.h"

#include <cerrno>
#include <cstring>

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "wire/graft.h"
#include "wire/keep.h"

namespace gpcsup::exec {
namespace {

int milliseconds_until(Moment until) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(until - std::chrono::steady_clock::now());
    return left.count() < 0 ? 0 : static_cast<int>(left.count());
}

int send_listener(int listener, int answer, std::uint64_t key) {
    wire::HandoverMessage message;
    message.listener_key = key;
    const int passed[2] = {listener, answer};
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof(passed))] = {};
    iovec part{&message, sizeof(message)};
    msghdr envelope{};
    envelope.msg_iov = &part;
    envelope.msg_iovlen = 1;
    envelope.msg_control = control;
    envelope.msg_controllen = sizeof(control);
    cmsghdr* header = CMSG_FIRSTHDR(&envelope);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(passed));
    std::memcpy(CMSG_DATA(header), passed, sizeof(passed));
    return sendmsg(wire::graft_handover, &envelope, MSG_NOSIGNAL | MSG_DONTWAIT) < 0 ? errno : 0;
}

int await_byte(int socket, Moment until) {
    pollfd ready{socket, POLLIN, 0};
    const int polled = poll(&ready, 1, milliseconds_until(until));
    if (polled <= 0) {
        return polled == 0 ? ETIMEDOUT : errno;
    }
    char byte = 0;
    return read(socket, &byte, 1) == 1 ? 0 : EPIPE;
}

}  // namespace

int hand_over(const Descriptor& listener, std::uint64_t key, Moment until) {
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) {
        return errno;
    }
    const Descriptor ours(ends[0]);
    Descriptor theirs(ends[1]);
    pollfd room{wire::graft_handover, POLLOUT, 0};
    if (poll(&room, 1, milliseconds_until(until)) <= 0) {
        return ETIMEDOUT;
    }
    if (const int error = send_listener(listener.get(), theirs.get(), key); error != 0) {
        return error;
    }
    theirs = Descriptor();  // so that gpc-init's refusal, or its end, shows as an end of file
    return await_byte(ours.get(), until);
}

}  // namespace gpcsup::exec
