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

// The kernel looks at 32 bits of it; musl's ioctl(2) takes an int, glibc's an unsigned long.
constexpr int request(unsigned long number) {
    return static_cast<int>(number);
}

Listener listeners[max_listeners];  // zero from birth, so that places never used cost no memory

bool wait_for(int epoll, int operation, std::uint32_t index, std::uint32_t events) {
    epoll_event event{};
    event.events = events;
    event.data.u64 = index;
    return epoll_ctl(epoll, operation, listeners[index].descriptor, &event) == 0;
}

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
    std::uint32_t index = find(key);
    const std::uint32_t held = index == wire::no_row ? 0 : listeners[index].held;
    if (index != wire::no_row) {
        remove(index);
    } else {
        index = find(0);  // a free place has key 0
    }
    if (index == wire::no_row) {
        if (end_ == max_listeners) {
            return wire::no_row;
        }
        index = end_++;
    }
    listeners[index] = {key, descriptor, 0, held, false};
    // Level: what one round leaves behind comes again, behind the others.
    if (!wait_for(epoll_, EPOLL_CTL_ADD, index, EPOLLIN)) {
        listeners[index] = {};
        return wire::no_row;
    }
    // The caller is woken on our own CPU as we go to sleep: five times faster than waking another.
    if (ioctl(descriptor, request(SECCOMP_IOCTL_NOTIF_SET_FLAGS), SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP) == 0) {
        sync_wakeup_ = true;
    }
    ++count_;
    return index;
}

void Listeners::remove(std::uint32_t index) {
    Listener& listener = listeners[index];
    epoll_ctl(epoll_, EPOLL_CTL_DEL, listener.descriptor, nullptr);
    close(listener.descriptor);
    aside_ -= listener.aside ? 1 : 0;
    listener = {};
    --count_;
}

void Listeners::set_aside(std::uint32_t index) {
    if (!listeners[index].aside && wait_for(epoll_, EPOLL_CTL_MOD, index, 0)) {
        listeners[index].aside = true;
        ++aside_;
    }
}

void Listeners::take_back(std::uint32_t share) {
    for (std::uint32_t index = 0; index < end_ && aside_ > 0; ++index) {
        Listener& listener = listeners[index];
        if (listener.aside && listener.held < share && wait_for(epoll_, EPOLL_CTL_MOD, index, EPOLLIN)) {
            listener.aside = false;
            --aside_;
        }
    }
}

Received receive(int listener, seccomp_notif& notification) {
    for (;;) {
        if (ioctl(listener, request(SECCOMP_IOCTL_NOTIF_RECV), &notification) == 0) {
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
    while (ioctl(listener, request(SECCOMP_IOCTL_NOTIF_SEND), &copy) != 0 && errno == EINTR) {
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
    return ioctl(listener, request(SECCOMP_IOCTL_NOTIF_ID_VALID), &id) == 0;
}

}  // namespace gpcsup::enforcement
