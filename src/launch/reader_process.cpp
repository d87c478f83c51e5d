#include "launch/reader_process.h"

#include <cerrno>
#include <csignal>
#include <cstring>
#include <utility>

#include <fcntl.h>
#include <linux/sockios.h>
#include <spawn.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "wire/reader.h"

namespace gpcsup::launch {
namespace {

class SpawnActions {
  public:
    SpawnActions() {
        posix_spawn_file_actions_init(&actions);
        posix_spawnattr_init(&attributes);
    }
    ~SpawnActions() {
        posix_spawn_file_actions_destroy(&actions);
        posix_spawnattr_destroy(&attributes);
    }
    SpawnActions(const SpawnActions&) = delete;
    SpawnActions& operator=(const SpawnActions&) = delete;
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
};

}  // namespace

Reaped reap_reader(const base::Fd& pidfd) {
    siginfo_t information{};
    const int result = waitid(P_PIDFD, static_cast<id_t>(pidfd.get()), &information, WEXITED | WNOHANG);
    return result != 0 || information.si_pid != 0 ? Reaped::yes : Reaped::not_yet;
}

void kill_reader(const base::Fd& pidfd) {
    syscall(SYS_pidfd_send_signal, pidfd.get(), SIGKILL, nullptr, 0);
}

namespace {

// The third field of /proc/PID/stat, behind the name in parentheses.
char state_of(pid_t pid) {
    const base::Fd file(open(("/proc/" + std::to_string(pid) + "/stat").c_str(), O_RDONLY | O_CLOEXEC));
    char text[128] = {};
    const ssize_t got = file ? read(file.get(), text, sizeof(text) - 1) : -1;
    const char* end = got > 0 ? std::strrchr(text, ')') : nullptr;
    return end != nullptr && end[1] == ' ' ? end[2] : '?';
}

}  // namespace

// unix(7): SIOCOUTQ is what has been sent and not been received yet.
Delay look_at_delay(const ReaderProcess& reader) {
    int unread = 0;
    const bool taken_up = ioctl(reader.socket.get(), SIOCOUTQ, &unread) != 0 || unread == 0;
    return taken_up && state_of(reader.pid) != 'R' ? Delay::of_its_work : Delay::for_want_of_a_cpu;
}

DyingReaders::~DyingReaders() {
    for (const base::Fd& pidfd : pidfds_) {
        siginfo_t information{};
        waitid(P_PIDFD, static_cast<id_t>(pidfd.get()), &information, WEXITED);
    }
}

void DyingReaders::kill(ReaderProcess reader) {
    kill_reader(reader.pidfd);
    pidfds_.push_back(std::move(reader.pidfd));
}

void DyingReaders::reap() {
    std::erase_if(pidfds_, [](const base::Fd& pidfd) { return reap_reader(pidfd) == Reaped::yes; });
}

base::Result<ReaderProcess> start_reader(const std::string& program) {
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) {
        return base::fail(errno, "make a socket for", program);
    }
    ReaderProcess reader;
    reader.socket.reset(ends[0]);
    base::Fd theirs(ends[1]);
    if (theirs.get() == wire::reader_socket) {  // dup2 onto itself would leave it close-on-exec
        theirs.reset(dup(theirs.get()));
    }
    SpawnActions spawn;
    posix_spawn_file_actions_adddup2(&spawn.actions, theirs.get(), wire::reader_socket);
    sigset_t signals;
    sigemptyset(&signals);
    posix_spawnattr_setsigmask(&spawn.attributes, &signals);
    posix_spawnattr_setflags(&spawn.attributes, POSIX_SPAWN_SETSIGMASK);
    char name[] = "gpc-reader";
    char* const arguments[] = {name, nullptr};
    char* const environment[] = {nullptr};
    pid_t pid = 0;
    const int error =
        posix_spawn(&pid, program.c_str(), &spawn.actions, &spawn.attributes, arguments, environment);
    if (error != 0) {
        return base::fail(error, "start", program);
    }
    reader.pid = pid;
    reader.pidfd.reset(
        static_cast<int>(syscall(SYS_pidfd_open, pid, 0)));  // our own child: the number is its own
    if (!reader.pidfd) {
        const int problem = errno;
        kill(pid, SIGKILL);
        waitpid(pid, nullptr, 0);  // it cannot resist
        return base::fail(problem, "watch", program);
    }
    return reader;
}

}  // namespace gpcsup::launch
