#include "exec/graft/handover.h"

#include <algorithm>
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

// A thread that was given up may stop meanwhile, and must not stand still for it.
int await(int socket, short events, Moment until) {
    constexpr std::chrono::milliseconds slice{5};
    for (;;) {
        const Moment now = std::chrono::steady_clock::now();
        pollfd ready{socket, events, 0};
        if (poll(&ready, 1, milliseconds_until(std::min<Moment>(until, now + slice))) > 0) {
            return 0;
        }
        if (now >= until) {
            return ETIMEDOUT;
        }
        pause_until(now);
    }
}

}  // namespace

int hand_over(const Descriptor& listener, std::uint64_t key, Moment until) {
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) {
        return errno;
    }
    const Descriptor ours(ends[0]);
    Descriptor theirs(ends[1]);
    if (const int error = await(wire::graft_handover, POLLOUT, until); error != 0) {
        return error;
    }
    if (const int error = send_listener(listener.get(), theirs.get(), key); error != 0) {
        return error;
    }
    theirs = Descriptor();  // so that gpc-init's refusal, or its end, shows as an end of file
    if (const int error = await(ours.get(), POLLIN, until); error != 0) {
        return error;
    }
    char byte = 0;
    return read(ours.get(), &byte, 1) == 1 ? 0 : EPIPE;
}

}  // namespace gpcsup::exec
