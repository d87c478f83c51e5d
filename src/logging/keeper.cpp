#include "logging/keeper.h"

#include <fcntl.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>

namespace gpcsup::logging {

KeeperLetter Keeper::receive() {
    KeeperLetter letter;
    iovec part{&letter.message, sizeof letter.message};
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
    msghdr header{};
    header.msg_iov = &part;
    header.msg_iovlen = 1;
    header.msg_control = control;
    header.msg_controllen = sizeof control;
    const ssize_t length = recvmsg(socket_.get(), &header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (length < 0) {
        letter.heard = errno == EAGAIN || errno == EINTR ? Heard::nothing : Heard::closed;
        return letter;
    }
    if (cmsghdr* item = CMSG_FIRSTHDR(&header); item != nullptr && item->cmsg_type == SCM_RIGHTS) {
        int number = -1;
        memcpy(&number, CMSG_DATA(item), sizeof number);
        letter.descriptor.reset(number);
    }
    letter.truncated = (header.msg_flags & MSG_CTRUNC) != 0;
    letter.heard = length == static_cast<ssize_t>(sizeof letter.message) ? Heard::message : Heard::closed;
    letter.message.name[sizeof letter.message.name - 1] = '\0';
    return letter;
}

void Keeper::send(wire::KeepVerb verb, wire::KeepKey key) {
    wire::KeepMessage message;
    message.verb = verb;
    message.key = key;
    // It may wait for room in the socket: gpc-init always reads and never waits for us.
    (void)::send(socket_.get(), &message, sizeof message, MSG_NOSIGNAL);
}

std::optional<Keeper> inherit_keeper() {
    const char* text = getenv(wire::keeper_variable);
    if (text == nullptr) {
        return std::nullopt;
    }
    const int number = atoi(text);
    if (number < 0 || fcntl(number, F_SETFD, FD_CLOEXEC) < 0) {
        return std::nullopt;
    }
    return Keeper(base::Fd(number));
}

}  // namespace gpcsup::logging
