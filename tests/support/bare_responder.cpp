// The least that answers seccomp notifications: RECV, CONTINUE. It decides nothing and counts nothing, and is
// what gpc-enforce is compared with, in the same run and with the same scheduling. Speaks gpc-enforce's side
// of wire/keep.h.

#include <fcntl.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstring>

#include "wire/keep.h"

using namespace gpcsup;

namespace {

constexpr int keeper = 3;
constexpr unsigned long set_flags = SECCOMP_IOW(4, __u64);  // SECCOMP_IOCTL_NOTIF_SET_FLAGS, Linux 6.6
constexpr unsigned long sync_wake_up = 1;

void watch(int epoll, int descriptor) {
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.fd = descriptor;
    epoll_ctl(epoll, EPOLL_CTL_ADD, descriptor, &event);
}

// False when gpc-init has gone.
bool hear(int epoll) {
    wire::KeepMessage message;
    char control[CMSG_SPACE(sizeof(int))];
    iovec part{&message, sizeof(message)};
    msghdr envelope{};
    envelope.msg_iov = &part;
    envelope.msg_iovlen = 1;
    envelope.msg_control = control;
    envelope.msg_controllen = sizeof(control);
    if (recvmsg(keeper, &envelope, MSG_CMSG_CLOEXEC) <= 0) {
        return false;
    }
    const cmsghdr* header = CMSG_FIRSTHDR(&envelope);
    if (header == nullptr) {
        return true;
    }
    int descriptor = -1;
    std::memcpy(&descriptor, CMSG_DATA(header), sizeof(int));
    if (message.key.keep_class == wire::KeepClass::listener) {
        ioctl(descriptor, set_flags, sync_wake_up);
        watch(epoll, descriptor);
    } else {
        close(descriptor);
    }
    return true;
}

void answer(int epoll, int listener, unsigned events) {
    if ((events & EPOLLIN) == 0) {
        epoll_ctl(epoll, EPOLL_CTL_DEL, listener, nullptr);
        close(listener);
        return;
    }
    seccomp_notif notification{};
    if (ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &notification) == 0) {
        seccomp_notif_resp go_on{};
        go_on.id = notification.id;
        go_on.flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE;
        ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &go_on);
    }
}

}  // namespace

int main() {
    sched_param parameter{};
    parameter.sched_priority = 1;
    sched_setscheduler(0, SCHED_FIFO | SCHED_RESET_ON_FORK, &parameter);
    const int epoll = epoll_create1(EPOLL_CLOEXEC);
    watch(epoll, keeper);
    for (;;) {
        epoll_event events[64];
        const int count = epoll_wait(epoll, events, 64, -1);
        for (int i = 0; i < count; ++i) {
            if (events[i].data.fd != keeper) {
                answer(epoll, events[i].data.fd, events[i].events);
            } else if (!hear(epoll)) {
                return 0;
            }
        }
    }
}
