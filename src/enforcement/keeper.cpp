#include "enforcement/keeper.h"

#include <cerrno>
#include <cstring>

#include <sys/socket.h>
#include <unistd.h>

namespace gpcsup::enforcement {
namespace {

constexpr std::uint32_t max_owed = 4096;
std::uint64_t owed_keys[max_owed];

}  // namespace

Heard Keeper::receive(KeeperMessage& received) const {
    received = {};
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))];
    iovec part{&received.message, sizeof(received.message)};
    msghdr envelope{};
    envelope.msg_iov = &part;
    envelope.msg_iovlen = 1;
    envelope.msg_control = control;
    envelope.msg_controllen = sizeof(control);
    const ssize_t got = recvmsg(descriptor_, &envelope, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (got <= 0) {
        const bool later = got < 0 && (errno == EAGAIN || errno == EINTR);
        return later ? Heard::nothing : Heard::end;
    }
    const cmsghdr* header = CMSG_FIRSTHDR(&envelope);
    if (header != nullptr && header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS) {
        std::memcpy(&received.descriptor, CMSG_DATA(header), sizeof(int));
    }
    const bool sound = static_cast<std::size_t>(got) == sizeof(received.message) &&
                       received.message.version == wire::keep_version;
    if (!sound) {
        if (received.descriptor >= 0) {
            close(received.descriptor);
        }
        return Heard::nothing;
    }
    return Heard::message;
}

bool Keeper::send(const wire::KeepMessage& message) const {
    return ::send(descriptor_, &message, sizeof(message), MSG_DONTWAIT | MSG_NOSIGNAL) >= 0 ||
           errno != EAGAIN;
}

void Keeper::tell(wire::KeepVerb verb, std::uint64_t argument) const {
    wire::KeepMessage message;
    message.verb = verb;
    message.argument = argument;
    static_cast<void>(send(message));
}

void Keeper::drop_listener(std::uint64_t key) {
    if (owed_ < max_owed) {  // as many as there can be listeners
        owed_keys[owed_++] = key;
    }
    repeat();
}

void Keeper::repeat() {
    while (owed_ > 0) {
        wire::KeepMessage message;
        message.verb = wire::KeepVerb::drop;
        message.key.keep_class = wire::KeepClass::listener;
        message.key.id = owed_keys[owed_ - 1];
        if (!send(message)) {
            return;
        }
        --owed_;
    }
}

}  // namespace gpcsup::enforcement
