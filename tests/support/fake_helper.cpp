// Stands in for gpcsupd, gpc-enforce and gpc-logd in tests of gpc-init: it only hands its end of the keep
// channel to the test, which then plays the helper's part, and starts services when told to. Its process is
// there to be killed and stopped.

#include "fake_helper.h"

#include <linux/sched.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>

#include "wire/keep.h"

namespace {

using namespace gpcsup;

int connect_to_test() {
    const char* path = getenv(tests::fake_variable);
    if (path == nullptr) {
        return -1;
    }
    int connection = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    strncpy(address.sun_path, path, sizeof address.sun_path - 1);
    if (connect(connection, reinterpret_cast<sockaddr*>(&address), sizeof address) < 0) {
        return -1;
    }
    return connection;
}

void send_with(int to, const void* data, std::size_t size, int descriptor) {
    iovec part{const_cast<void*>(data), size};
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
    msghdr header{};
    header.msg_iov = &part;
    header.msg_iovlen = 1;
    header.msg_control = control;
    header.msg_controllen = sizeof control;
    cmsghdr* item = CMSG_FIRSTHDR(&header);
    item->cmsg_level = SOL_SOCKET;
    item->cmsg_type = SCM_RIGHTS;
    item->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(item), &descriptor, sizeof descriptor);
    if (sendmsg(to, &header, MSG_NOSIGNAL) < 0) {
        _exit(4);
    }
}

// The descriptor that came with a command, or -1 at the end of the connection.
int receive_descriptor(int from) {
    tests::FakeCommand command{};
    iovec part{&command, sizeof command};
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
    msghdr header{};
    header.msg_iov = &part;
    header.msg_iovlen = 1;
    header.msg_control = control;
    header.msg_controllen = sizeof control;
    if (recvmsg(from, &header, MSG_CMSG_CLOEXEC) <= 0 || CMSG_FIRSTHDR(&header) == nullptr) {
        return -1;
    }
    int descriptor = -1;
    memcpy(&descriptor, CMSG_DATA(CMSG_FIRSTHDR(&header)), sizeof descriptor);
    return descriptor;
}

std::uint64_t used_us() {
    rusage usage{};
    getrusage(RUSAGE_SELF, &usage);
    auto part = [](const timeval& time) {
        return static_cast<std::uint64_t>(time.tv_sec * 1'000'000 + time.tv_usec);
    };
    return part(usage.ru_utime) + part(usage.ru_stime);
}

// Every eighth orphan works for a few milliseconds, every fifth dies by a signal, the others with a status of
// their number.
[[noreturn]] void be_orphan(int to, std::uint32_t number) {
    while (number % 8 == 0 && used_us() < 3000) {
    }
    tests::OrphanReport report{};
    report.number = number;
    report.pid = getpid();
    const bool killed = number % 5 == 0;
    report.code = killed ? CLD_KILLED : CLD_EXITED;
    report.status = killed ? SIGKILL : static_cast<std::int32_t>(number % 256);
    report.used_us = used_us();
    send(to, &report, sizeof report, MSG_NOSIGNAL);
    if (killed) {
        kill(getpid(), SIGKILL);
    }
    _exit(report.status);
}

[[noreturn]] void serve(int connection) {
    tests::OrphanOrder order{};
    while (recv(connection, &order, sizeof order, 0) == static_cast<ssize_t>(sizeof order)) {
        for (std::uint32_t i = 0; i < order.count; ++i) {
            pid_t between = fork();
            if (between == 0) {
                pid_t orphan = fork();
                if (orphan == 0) {
                    be_orphan(connection, order.first + i);
                }
                _exit(orphan < 0 ? 1 : 0);
            }
            waitpid(between, nullptr, 0);
        }
    }
    _exit(0);
}

pid_t start_service(int connection) {
    clone_args arguments{};
    arguments.flags = CLONE_PARENT;
    pid_t pid = static_cast<pid_t>(syscall(SYS_clone3, &arguments, sizeof arguments));
    if (pid == 0) {
        serve(connection);
    }
    return pid;
}

}  // namespace

int main(int, char** arguments) {
    const char* slash = strrchr(arguments[0], '/');
    const char* name = slash != nullptr ? slash + 1 : arguments[0];
    const char* dies = getenv(tests::fake_dies_variable);
    if (dies != nullptr && strcmp(dies, name) == 0) {
        return 3;
    }
    const char* keeper = getenv(wire::keeper_variable);
    int connection = connect_to_test();
    if (connection < 0 || keeper == nullptr) {
        return 4;
    }
    tests::FakeHello hello{};
    strncpy(hello.name, name, sizeof hello.name - 1);
    hello.pid = getpid();
    const char* generation = getenv(wire::generation_variable);
    hello.generation = generation != nullptr ? static_cast<std::uint32_t>(atoi(generation)) : 0;
    send_with(connection, &hello, sizeof hello, atoi(keeper));
    close(atoi(keeper));
    for (int task = 0; (task = receive_descriptor(connection)) >= 0;) {
        tests::FakeService service{start_service(task)};
        close(task);
        send(connection, &service, sizeof service, MSG_NOSIGNAL);
    }
    // The test may be done with its end of the conversation; this process lives until gpc-init or the test
    // ends it.
    for (;;) {
        pause();
    }
}
