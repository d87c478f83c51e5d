#include "exec/filter.h"

#include <cerrno>

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "exec/handover_message.h"

namespace gpcsup::exec {
namespace {

constexpr int acknowledgement_ms = 5000;
constexpr unsigned wait_killable = 1U << 5;  // SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV, Linux 5.19

// A number >= 0 is the listener.
int set_filter(unsigned flags, const sock_fprog& program) {
    return static_cast<int>(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program));
}

}  // namespace

int prepare_acknowledgement(Acknowledgement& made) {
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) {
        return errno;
    }
    made = {ends[0], ends[1]};
    return 0;
}

int forbid_new_privileges() {
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 ? 0 : errno;
}

int install_filter(const Plan& plan, int& listener) {
    const wire::PlanSpan& span = plan.header().filter;
    sock_fprog program{};
    program.len = static_cast<unsigned short>(span.count);
    program.filter = const_cast<sock_filter*>(plan.array<sock_filter>(span));

    unsigned flags = SECCOMP_FILTER_FLAG_NEW_LISTENER | wait_killable;
    listener = set_filter(flags, program);
    if (listener < 0 && errno == EINVAL) {
        flags &= ~wait_killable;
        listener = set_filter(flags, program);
    }
    if (listener < 0 && errno == EACCES) {
        // Without CAP_SYS_ADMIN in our user namespace the kernel asks for this promise first.
        if (const int error = forbid_new_privileges(); error != 0) {
            return error;
        }
        listener = set_filter(flags | wait_killable, program);
        if (listener < 0 && errno == EINVAL) {
            listener = set_filter(flags & ~wait_killable, program);
        }
    }
    return listener < 0 ? errno : 0;
}

int hand_over(const Plan& plan, int handover, const Acknowledgement& acknowledgement, int listener) {
    ssize_t sent = 0;
    do {
        sent = send_handover(handover, plan.header().listener_key, listener, acknowledgement.theirs, 0);
    } while (sent < 0 && errno == EINTR);
    if (sent < 0) {
        return errno;
    }
    close(acknowledgement.theirs);  // so that gpc-init's death shows as an end of file here
    close(listener);

    pollfd ready{acknowledgement.ours, POLLIN, 0};
    int polled = 0;
    do {
        polled = poll(&ready, 1, acknowledgement_ms);
    } while (polled < 0 && errno == EINTR);
    if (polled <= 0) {
        return polled == 0 ? ETIMEDOUT : errno;
    }
    char byte = 0;
    const ssize_t got = read(acknowledgement.ours, &byte, 1);
    return got == 1 ? 0 : got == 0 ? EPIPE : errno;
}

}  // namespace gpcsup::exec
