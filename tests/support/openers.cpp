// Makes open files in every way that Linux has, each way until it is refused: `openers` prints a line a way,
// "NAME MADE ERRNO KEPT". `openers edge ROUNDS` opens and closes as fast as it can and fails when it is
// refused. `openers hold COUNT` opens so many and waits to be ended. `openers latency MS` opens and closes
// for so long and prints how long that took each time, in nanoseconds: "opens N p50 N p99 N p99.9 N max N".

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <string_view>
#include <vector>

#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/perf_event.h>
#include <linux/sched.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/fanotify.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

namespace {

constexpr int most = 4096;
std::vector<int> made;
int kept = 0;  // that a way needs for all its steps

int raw(long number, long a = 0, long b = 0, long c = 0, long d = 0, long e = 0) {
    return static_cast<int>(syscall(number, a, b, c, d, e));
}

int keep(int fd) {
    if (fd >= 0) {
        made.push_back(fd);
    }
    return fd < 0 ? -1 : 0;
}

int keep_for_ever(int fd) {
    kept += fd >= 0 ? 1 : 0;
    return fd;
}

int keep_two(int result, const int (&pair)[2]) {
    return result < 0 ? -1 : (keep(pair[0]), keep(pair[1]), 0);
}

int make_pair(bool sockets) {
    int pair[2] = {-1, -1};
    return keep_two(
        sockets ? socketpair(AF_UNIX, SOCK_STREAM, 0, pair) : raw(SYS_pipe, reinterpret_cast<long>(pair)),
        pair);
}

int make_pipe2() {
    int pair[2] = {-1, -1};
    return keep_two(pipe2(pair, O_CLOEXEC), pair);
}

int make_map() {
    bpf_attr attributes{};
    attributes.map_type = BPF_MAP_TYPE_ARRAY;
    attributes.key_size = 4;
    attributes.value_size = 4;
    attributes.max_entries = 1;
    return keep(raw(SYS_bpf, BPF_MAP_CREATE, reinterpret_cast<long>(&attributes), sizeof(attributes)));
}

int make_counter() {
    perf_event_attr attributes{};
    attributes.type = PERF_TYPE_SOFTWARE;
    attributes.size = sizeof(attributes);
    attributes.config = PERF_COUNT_SW_TASK_CLOCK;
    return keep(raw(SYS_perf_event_open, reinterpret_cast<long>(&attributes), 0, -1, -1, 0));
}

int make_pidfd_by_clone() {
    int pidfd = -1;
    const pid_t child = raw(SYS_clone, CLONE_PIDFD | SIGCHLD, 0, reinterpret_cast<long>(&pidfd));
    if (child == 0) {
        _exit(0);
    }
    if (child > 0) {
        waitpid(child, nullptr, 0);
    }
    return child < 0 ? -1 : keep(pidfd);
}

int make_ruleset() {
    std::uint64_t access = 1;
    return keep(raw(SYS_landlock_create_ruleset, reinterpret_cast<long>(&access), sizeof(access), 0));
}

int make_openat2() {
    std::uint64_t how[3] = {O_RDONLY, 0, 0};
    return keep(raw(SYS_openat2, AT_FDCWD, reinterpret_cast<long>("/dev/null"), reinterpret_cast<long>(how),
                    sizeof(how)));
}

int make_by_handle() {
    alignas(file_handle) static unsigned char room[sizeof(file_handle) + 128];
    auto* handle = reinterpret_cast<file_handle*>(room);
    handle->handle_bytes = 128;
    int mount = 0;
    if (name_to_handle_at(AT_FDCWD, "/tmp", handle, &mount, 0) < 0) {
        return -1;
    }
    static const int root = keep_for_ever(open("/tmp", O_RDONLY | O_DIRECTORY));
    return keep(open_by_handle_at(root, handle, O_RDONLY));
}

// The peer is a connection that waits in the backlog: it costs one file here for each that is accepted.
int make_accepted(bool four) {
    static int listener = -1;
    static sockaddr_un address{};
    if (listener < 0) {
        listener = keep_for_ever(socket(AF_UNIX, SOCK_STREAM, 0));
        address.sun_family = AF_UNIX;
        std::snprintf(address.sun_path + 1, sizeof(address.sun_path) - 1, "openers-%d",
                      static_cast<int>(getpid()));
        if (bind(listener, reinterpret_cast<sockaddr*>(&address), sizeof(address)) < 0 ||
            listen(listener, 128) < 0) {
            return -1;
        }
    }
    const int client = socket(AF_UNIX, SOCK_STREAM, 0);
    if (keep(client) < 0) {
        return -1;
    }
    if (connect(client, reinterpret_cast<sockaddr*>(&address), sizeof(address)) < 0) {
        return -1;
    }
    return keep(four ? accept4(listener, nullptr, nullptr, SOCK_CLOEXEC) : raw(SYS_accept, listener));
}

sigset_t no_signals() {
    sigset_t set;
    sigemptyset(&set);
    return set;
}

int make_signalfd(long number) {
    sigset_t set = no_signals();
    return keep(raw(number, -1, reinterpret_cast<long>(&set), 8, 0));
}

int make_terminal_peer() {
    static const int terminal = keep_for_ever(open("/dev/ptmx", O_RDWR | O_NOCTTY));
    static const int unlocked = [] {
        int off = 0;
        return ioctl(terminal, TIOCSPTLCK, &off);
    }();
    return unlocked < 0 ? -1 : keep(ioctl(terminal, TIOCGPTPEER, O_RDWR | O_NOCTTY));
}

// A context is good for one mount: two files each time.
int make_mount() {
    constexpr int create = 6;  // FSCONFIG_CMD_CREATE
    const int context = raw(SYS_fsopen, reinterpret_cast<long>("tmpfs"), 0);
    if (keep(context) < 0 || raw(SYS_fsconfig, context, create) < 0) {
        return -1;
    }
    return keep(raw(SYS_fsmount, context, 0, 0));
}

int make_tree_with_attributes() {
    constexpr long number = 467;  // open_tree_attr, Linux 6.15
    static std::uint64_t attributes[4] = {};
    return keep(raw(number, AT_FDCWD, reinterpret_cast<long>("/tmp"), 0, reinterpret_cast<long>(attributes),
                    sizeof(attributes)));
}

int make_peer_pidfd() {
    constexpr int peer_pidfd = 77;  // SO_PEERPIDFD, Linux 6.5
    static int pair[2] = {-1, -1};
    if (pair[0] < 0) {
        if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) < 0) {
            return -1;
        }
        keep_for_ever(pair[0]);
        keep_for_ever(pair[1]);
    }
    int pidfd = -1;
    socklen_t length = sizeof(pidfd);
    return getsockopt(pair[0], SOL_SOCKET, peer_pidfd, &pidfd, &length) < 0 ? -1 : keep(pidfd);
}

struct Way {
    const char* name;
    int (*make)();
};

#define PATH(text) reinterpret_cast<long>(text)
constexpr Way ways[] = {
    {"open", [] { return keep(raw(SYS_open, PATH("/dev/null"), O_RDONLY)); }},
    {"creat", [] { return keep(raw(SYS_creat, PATH("/dev/null"), 0600)); }},
    {"openat", [] { return keep(raw(SYS_openat, AT_FDCWD, PATH("/dev/null"), O_RDONLY)); }},
    {"openat2", make_openat2},
    {"open_by_handle_at", make_by_handle},
    {"open_tree", [] { return keep(raw(SYS_open_tree, AT_FDCWD, PATH("/tmp"), 0)); }},
    {"open_tree_attr", make_tree_with_attributes},
    {"fsmount", make_mount},
    {"getsockopt", make_peer_pidfd},
    {"fsopen", [] { return keep(raw(SYS_fsopen, PATH("tmpfs"), 0)); }},
    {"fspick", [] { return keep(raw(SYS_fspick, AT_FDCWD, PATH("/"), 0)); }},
    {"socket", [] { return keep(socket(AF_UNIX, SOCK_STREAM, 0)); }},
    {"socketpair", [] { return make_pair(true); }},
    {"accept", [] { return make_accepted(false); }},
    {"accept4", [] { return make_accepted(true); }},
    {"pipe", [] { return make_pair(false); }},
    {"pipe2", make_pipe2},
    {"epoll_create", [] { return keep(raw(SYS_epoll_create, 1)); }},
    {"epoll_create1", [] { return keep(epoll_create1(0)); }},
    {"eventfd", [] { return keep(raw(SYS_eventfd, 0)); }},
    {"eventfd2", [] { return keep(raw(SYS_eventfd2, 0, 0)); }},
    {"signalfd", [] { return make_signalfd(SYS_signalfd); }},
    {"signalfd4", [] { return make_signalfd(SYS_signalfd4); }},
    {"timerfd_create", [] { return keep(timerfd_create(CLOCK_MONOTONIC, 0)); }},
    {"inotify_init", [] { return keep(raw(SYS_inotify_init)); }},
    {"inotify_init1", [] { return keep(inotify_init1(0)); }},
    {"fanotify_init", [] { return keep(raw(SYS_fanotify_init, FAN_CLASS_NOTIF, O_RDONLY)); }},
    {"memfd_create", [] { return keep(memfd_create("openers", 0)); }},
    {"memfd_secret", [] { return keep(raw(SYS_memfd_secret, 0)); }},
    {"userfaultfd", [] { return keep(raw(SYS_userfaultfd, 1)); }},
    {"perf_event_open", make_counter},
    {"pidfd_open", [] { return keep(raw(SYS_pidfd_open, getpid(), 0)); }},
    {"clone", make_pidfd_by_clone},
    {"bpf", make_map},
    {"landlock_create_ruleset", make_ruleset},
    {"mq_open", [] { return keep(raw(SYS_mq_open, PATH("gpcsup-openers"), O_CREAT | O_RDWR, 0600, 0)); }},
    {"ioctl", make_terminal_peer},
    {"io_uring_setup",
     [] {
         static std::uint32_t parameters[64];
         std::memset(parameters, 0, sizeof(parameters));
         return keep(raw(SYS_io_uring_setup, 1, PATH(parameters)));
     }},
};
#undef PATH

void close_all() {
    for (const int fd : made) {
        close(fd);
    }
    made.clear();
}

int exhaust() {
    made.reserve(most);
    for (const Way& way : ways) {
        int error = 0;
        while (static_cast<int>(made.size()) < most && error == 0) {
            errno = 0;
            error = way.make() == 0 ? 0 : errno;
        }
        std::printf("%s %zu %d %d\n", way.name, made.size(), error, kept);
        std::fflush(stdout);
        close_all();
    }
    return 0;
}

int open_at_the_edge(long rounds) {
    for (long round = 0; round < rounds; ++round) {
        const int fd = open("/dev/null", O_RDONLY);
        if (fd < 0) {
            std::printf("refused in round %ld: %s\n", round, std::strerror(errno));
            return 1;
        }
        close(fd);
    }
    return 0;
}

std::int64_t now_ns() {
    timespec now{};
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * std::int64_t{1'000'000'000} + now.tv_nsec;
}

int measure(long milliseconds) {
    constexpr std::size_t most_opens = 4'000'000;
    std::vector<std::uint32_t> times;
    times.reserve(most_opens);
    std::int64_t last = now_ns();
    const std::int64_t end = last + milliseconds * 1'000'000;
    while (last < end && times.size() < most_opens) {
        const int fd = open("/dev/null", O_RDONLY);
        if (fd < 0) {
            std::printf("refused: %s\n", std::strerror(errno));
            return 1;
        }
        close(fd);
        const std::int64_t now = now_ns();
        times.push_back(static_cast<std::uint32_t>(std::min<std::int64_t>(now - last, UINT32_MAX)));
        last = now;
    }
    std::sort(times.begin(), times.end());
    const auto at = [&](double part) {
        return static_cast<unsigned long>(times[static_cast<std::size_t>(part * (times.size() - 1.0))]);
    };
    std::printf("opens %zu p50 %lu p99 %lu p99.9 %lu max %lu\n", times.size(), at(0.5), at(0.99), at(0.999),
                at(1.0));
    return 0;
}

int hold(long count) {
    for (long i = 0; i < count; ++i) {
        if (keep(open("/dev/null", O_RDONLY)) < 0) {
            std::printf("refused at %ld: %s\n", i, std::strerror(errno));
            std::fflush(stdout);
            break;
        }
    }
    // Duplicates and children are no more files.
    for (long i = 0; i < count; ++i) {
        if (dup(made[0]) < 0) {
            return 1;
        }
    }
    if (fork() == 0) {
        pause();
    }
    std::printf("holding\n");
    std::fflush(stdout);
    pause();
    return 0;
}

}  // namespace

int main(int argc, char** argv) {
    const std::string_view what = argc > 1 ? argv[1] : "";
    const long number = argc > 2 ? std::strtol(argv[2], nullptr, 10) : 0;
    if (what == "edge") {
        return open_at_the_edge(number);
    }
    if (what == "latency") {
        return measure(number);
    }
    return what == "hold" ? hold(number) : exhaust();
}
