#include "sys/pidfd.h"

#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <string>

namespace gpcsup::sys {
namespace {

std::string describe(base::ProcessId process) {
    return "process " + std::to_string(process.pid);
}

}  // namespace

base::Result<base::Fd> RealSignals::open(base::ProcessId process) {
    base::Fd pidfd(static_cast<int>(::syscall(SYS_pidfd_open, process.pid, 0)));
    if (!pidfd) {
        return base::fail(errno, "open", describe(process));
    }
    // The order matters: the descriptor pins a process, and only then is it asked which one the number means.
    auto stat = files_.stat(process.pid);
    if (!stat) {
        return base::pass(stat);
    }
    if (stat->start_time != process.start_time) {
        return base::fail(ESRCH, "open", describe(process), "another process has its number");
    }
    return pidfd;
}

base::Result<> RealSignals::send(base::ProcessId process, int signal) {
    auto pidfd = open(process);
    if (!pidfd) {
        return base::pass(pidfd);
    }
    return send_signal(*pidfd, signal);
}

base::Result<> send_signal(const base::Fd& pidfd, int signal) {
    if (::syscall(SYS_pidfd_send_signal, pidfd.get(), signal, nullptr, 0) != 0) {
        return base::fail(errno, "send signal " + std::to_string(signal), "a process");
    }
    return {};
}

}  // namespace gpcsup::sys
