#include "enforcement/listeners.h"

#include <cerrno>

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <unistd.h>

// Linux 6.6; not in the headers of Debian 12.
#ifndef SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP
#define SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP (1UL << 0)
#define SECCOMP_IOCTL_NOTIF_SET_FLAGS SECCOMP_IOW(4, __u64)
#endif

namespace gpcsup::enforcement {
namespace {

Listener listeners[max_listeners];  // zero from birth, so that places never used cost no memory

}  // namespace

Listener& Listeners::at(std::uint32_t index) {
    return listeners[index];
}

std::uint32_t Listeners::find(std::uint64_t key) const {
    for (std::uint32_t index = 0; index < end_; ++index) {
        if (listeners[index].key == key) {
            return index;
        }
    }
    return wire::no_row;
}

std::uint32_t Listeners::add(std::uint64_t key, int descriptor) {
    if (const std::uint32_t known = find(key); known != wire::no_row) {
        remove(known);
    }
    std::uint32_t index = find(0);  // a free place has key 0
    if (index == wire::no_row) {
        if (end_ == max_listeners) {
            return wire::no_row;
        }
        index = end_++;
    }
    epoll_event event{};
    event.events = EPOLLIN;  // level: what one round leaves behind comes again, behind the others
    event.data.u64 = index;
    if (epoll_ctl(epoll_, EPOLL_CTL_ADD, descriptor, &event) != 0) {
        return wire::no_row;
    }
    // The caller is woken on our own CPU as we go to sleep: five times faster than waking another.
    if (ioctl(descriptor, SECCOMP_IOCTL_NOTIF_SET_FLAGS, SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP) == 0) {
        sync_wakeup_ = true;
    }
    listeners[index] = {key, descriptor, 0};
    ++count_;
    return index;
}

void Listeners::remove(std::uint32_t index) {
    Listener& listener = listeners[index];
    epoll_ctl(epoll_, EPOLL_CTL_DEL, listener.descriptor, nullptr);
    close(listener.descriptor);
    listener = {};
    --count_;
}

Received receive(int listener, seccomp_notif& notification) {
    for (;;) {
        if (ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &notification) == 0) {
            return Received::one;
        }
        if (errno != EINTR) {
            return Received::nothing;
        }
    }
}

namespace {

void send(int listener, const seccomp_notif_resp& answer) {
    seccomp_notif_resp copy = answer;
    while (ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &copy) != 0 && errno == EINTR) {
    }
}

}  // namespace

void send_continue(int listener, std::uint64_t id) {
    seccomp_notif_resp answer{};
    answer.id = id;
    answer.flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE;
    send(listener, answer);
}

void send_value(int listener, std::uint64_t id, std::int64_t value) {
    seccomp_notif_resp answer{};
    answer.id = id;
    answer.val = value;
    send(listener, answer);
}

void send_error(int listener, std::uint64_t id, int error) {
    seccomp_notif_resp answer{};
    answer.id = id;
    answer.error = -error;
    send(listener, answer);
}

bool still_waits(int listener, std::uint64_t id) {
    return ioctl(listener, SECCOMP_IOCTL_NOTIF_ID_VALID, &id) == 0;
}

}  // namespace gpcsup::enforcement
