#pragma once
// The one message that gpc-exec and gpc-graft send to gpc-init: a listener, and the end of a socketpair on
// which it answers. Makes one system call, sendmsg(2), and no other: the sender may be filtered already.

#include <cstdint>
#include <cstring>

#include <sys/socket.h>

#include "wire/keep.h"

namespace gpcsup::exec {

// As sendmsg(2) says it, errno too. `flags` beside MSG_NOSIGNAL.
inline ssize_t send_handover(int socket, std::uint64_t key, int listener, int answer, int flags) {
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
    return sendmsg(socket, &envelope, MSG_NOSIGNAL | flags);
}

}  // namespace gpcsup::exec
