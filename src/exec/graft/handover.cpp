#include "exec/graft/handover.h"

#include <algorithm>
#include <cerrno>

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "exec/handover_message.h"
#include "wire/graft.h"

namespace gpcsup::exec {
namespace {

int milliseconds_until(Moment until) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(until - std::chrono::steady_clock::now());
    return left.count() < 0 ? 0 : static_cast<int>(left.count());
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
    if (send_handover(wire::graft_handover, key, listener.get(), theirs.get(), MSG_DONTWAIT) < 0) {
        return errno;
    }
    theirs = Descriptor();  // so that gpc-init's refusal, or its end, shows as an end of file
    if (const int error = await(ours.get(), POLLIN, until); error != 0) {
        return error;
    }
    char byte = 0;
    return read(ours.get(), &byte, 1) == 1 ? 0 : EPIPE;
}

}  // namespace gpcsup::exec
