// Makes files and tasks by the system calls of i386 (int 0x80, which a 64-bit program may use, too), for the
// tests of limits on that ABI. Pointers have 32 bits there: everything that is pointed to is static, and this
// program is linked at a low address.
//   compat files full       opens files until it is refused, then makes one in each way
//   compat files room       the same with as much room as that way needs, and no more
//   compat files free       without filling anything
// prints a line a way, "NAME ERRNO" (0: it worked), after "filled COUNT".
//   compat tasks ROUNDS     forks, vforks and clones so often, one child after the other, and calls clone3
//   once;
//                           prints "NAME MADE ERRNO" (of the last that failed)
//   compat x32              prints the errno of getpid by the numbers of x32

#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string_view>

#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/perf_event.h>
#include <linux/sched.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

namespace {

// Inlined everywhere: the child of a vfork must not return from a function that its parent is in, too.
[[gnu::always_inline]] inline int call(int number, long a = 0, long b = 0, long c = 0, long d = 0,
                                       long e = 0) {
    int result = number;
    asm volatile("int $0x80"
                 : "+a"(result)
                 : "b"(a), "c"(b), "d"(c), "S"(d), "D"(e)
                 : "memory", "cc", "r8", "r9", "r10", "r11");
    return result;
}

long at(const void* place) {
    return static_cast<long>(reinterpret_cast<std::uintptr_t>(place));
}

// Numbers of i386.
constexpr int number_exit = 1;
constexpr int number_fork = 2;
constexpr int number_clone = 120;
constexpr int number_vfork = 190;
constexpr int number_clone3 = 435;

constexpr int most = 4096;
int filling[most];
int filled = 0;

int listener = -1;
int pair_of_files[2];
std::uint32_t words[64];
std::uint64_t long_words[32];
alignas(8) unsigned char handle[sizeof(file_handle) + 128];
int mount_id = 0;
bpf_attr map_attributes;
perf_event_attr counter_attributes;
int pidfd = -1;

int one(int result) {
    pair_of_files[0] = result;
    return result;
}

int two(int result) {
    return result < 0 ? result : 0;
}

// The further arguments of socketcall are in memory, 32 bits each.
int socket_call(int what, std::uint32_t a, std::uint32_t b = 0, std::uint32_t c = 0, std::uint32_t d = 0) {
    words[0] = a;
    words[1] = b;
    words[2] = c;
    words[3] = d;
    return call(102, what, at(words));
}

int handle_of_tmp() {
    auto* place = reinterpret_cast<file_handle*>(handle);
    place->handle_bytes = 128;
    (void)name_to_handle_at(AT_FDCWD, "/tmp", place, &mount_id, 0);
    return one(call(342, AT_FDCWD, at(handle), O_RDONLY));
}

int child_with_pidfd() {
    const int child = call(number_clone, CLONE_PIDFD | SIGCHLD, 0, at(&pidfd));
    if (child == 0) {
        call(number_exit, 0);
    }
    if (child > 0) {
        waitpid(child, nullptr, 0);
        one(pidfd);
    }
    return child;
}

struct Way {
    const char* name;
    int (*make)();
    int files = 1;
};

// A way whose arguments do not lead to a file here is refused at the limit all the same.
constexpr Way ways[] = {
    {"open", [] { return one(call(5, at("/dev/null"), O_RDONLY)); }},
    {"creat", [] { return one(call(8, at("/dev/null"), 0600)); }},
    {"openat", [] { return one(call(295, AT_FDCWD, at("/dev/null"), O_RDONLY)); }},
    {"openat2", [] { return one(call(437, AT_FDCWD, at("/dev/null"), at(long_words), 24)); }},
    {"open_by_handle_at", handle_of_tmp},
    {"open_tree", [] { return one(call(428, AT_FDCWD, at("/tmp"), 0)); }},
    {"open_tree_attr", [] { return one(call(467, AT_FDCWD, at("/tmp"), 0, at(long_words), 32)); }},
    {"fsopen", [] { return one(call(430, at("tmpfs"), 0)); }},
    {"fsmount", [] { return one(call(432, -1, 0, 0)); }},
    {"fspick", [] { return one(call(433, AT_FDCWD, at("/"), 0)); }},
    {"socket", [] { return one(call(359, AF_UNIX, SOCK_STREAM, 0)); }},
    {"accept4", [] { return one(call(364, listener, 0, 0, 0)); }},
    {"socketcall-socket", [] { return one(socket_call(1, AF_UNIX, SOCK_STREAM)); }},
    {"socketcall-accept", [] { return one(socket_call(5, static_cast<std::uint32_t>(listener))); }},
    {"socketcall-accept4", [] { return one(socket_call(18, static_cast<std::uint32_t>(listener))); }},
    {"epoll_create", [] { return one(call(254, 1)); }},
    {"epoll_create1", [] { return one(call(329, 0)); }},
    {"eventfd", [] { return one(call(323, 0)); }},
    {"eventfd2", [] { return one(call(328, 0, 0)); }},
    {"timerfd_create", [] { return one(call(322, 1, 0)); }},
    {"inotify_init", [] { return one(call(291)); }},
    {"inotify_init1", [] { return one(call(332, 0)); }},
    {"fanotify_init", [] { return one(call(338, 0, O_RDONLY)); }},
    {"memfd_create", [] { return one(call(356, at("compat"), 0)); }},
    {"memfd_secret", [] { return one(call(447, 0)); }},
    {"userfaultfd", [] { return one(call(374, 1)); }},
    {"perf_event_open", [] { return one(call(336, at(&counter_attributes), 0, -1, -1, 0)); }},
    {"pidfd_open", [] { return one(call(434, getpid(), 0)); }},
    {"landlock_create_ruleset", [] { return one(call(444, at(long_words + 8), 8, 0)); }},
    {"mq_open", [] { return one(call(277, at("gpcsup-compat"), O_CREAT | O_RDWR, 0600, 0)); }},
    {"signalfd", [] { return one(call(321, -1, at(long_words), 8)); }},
    {"signalfd4", [] { return one(call(327, -1, at(long_words), 8, 0)); }},
    {"bpf", [] { return one(call(357, BPF_MAP_CREATE, at(&map_attributes), sizeof(map_attributes))); }},
    {"clone-pidfd", child_with_pidfd},
    {"getsockopt-peerpidfd",
     [] { return one(call(365, listener, SOL_SOCKET, 77, at(words), at(words + 1))); }},
    {"ioctl-pty-peer", [] { return one(call(54, -1, 0x5441, O_RDWR)); }},
    {"pipe", [] { return two(call(42, at(pair_of_files))); }, 2},
    {"pipe2", [] { return two(call(331, at(pair_of_files), O_CLOEXEC)); }, 2},
    {"socketpair", [] { return two(call(360, AF_UNIX, SOCK_STREAM, 0, at(pair_of_files))); }, 2},
    {"socketcall-socketpair",
     [] {
         return two(socket_call(8, AF_UNIX, SOCK_STREAM, 0, static_cast<std::uint32_t>(at(pair_of_files))));
     },
     2},
    {"io_uring_setup",
     [] {
         std::memset(words, 0, sizeof(words));
         return one(call(425, 1, at(words)));
     }},
};

// Connections that wait to be accepted; a client need not stay for it.
void prepare() {
    counter_attributes.type = PERF_TYPE_SOFTWARE;
    counter_attributes.size = sizeof(counter_attributes);
    counter_attributes.config = PERF_COUNT_SW_TASK_CLOCK;
    map_attributes.map_type = BPF_MAP_TYPE_ARRAY;
    map_attributes.key_size = 4;
    map_attributes.value_size = 4;
    map_attributes.max_entries = 1;
    long_words[8] = 1;
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::snprintf(address.sun_path + 1, sizeof(address.sun_path) - 1, "compat-%d",
                  static_cast<int>(getpid()));
    listener = socket(AF_UNIX, SOCK_STREAM, 0);
    if (listener < 0 || bind(listener, reinterpret_cast<sockaddr*>(&address), sizeof(address)) < 0 ||
        listen(listener, 16) < 0) {
        std::perror("compat: listen");
        std::exit(1);
    }
    for (int i = 0; i < 8; ++i) {
        const int client = socket(AF_UNIX, SOCK_STREAM, 0);
        if (client < 0 || connect(client, reinterpret_cast<sockaddr*>(&address), sizeof(address)) < 0) {
            std::perror("compat: connect");
            std::exit(1);
        }
        close(client);
    }
}

void fill() {
    while (filled < most) {
        const int fd = call(5, at("/dev/null"), O_RDONLY);
        if (fd < 0) {
            return;
        }
        filling[filled++] = fd;
    }
}

void make_room(int files) {
    for (; files > 0 && filled > 0; --files) {
        close(filling[--filled]);
    }
}

int make_files(std::string_view how) {
    prepare();
    if (how != "free") {
        fill();
    }
    std::printf("filled %d\n", filled);
    for (const Way& way : ways) {
        if (how == "room") {
            make_room(way.files);
        }
        pair_of_files[0] = pair_of_files[1] = -1;
        const int result = way.make();
        std::printf("%s %d\n", way.name, result < 0 ? -result : 0);
        for (const int fd : pair_of_files) {
            if (fd >= 0) {
                close(fd);
            }
        }
        if (how == "room") {
            fill();
        }
    }
    return 0;
}

[[gnu::noinline]] int fork_once() {
    const int child = call(number_fork);
    if (child == 0) {
        call(number_exit, 0);
    }
    return child;
}

[[gnu::noinline]] int vfork_once() {
    const int child = call(number_vfork);
    if (child == 0) {
        call(number_exit, 0);
    }
    return child;
}

[[gnu::noinline]] int clone_once() {
    const int child = call(number_clone, SIGCHLD);
    if (child == 0) {
        call(number_exit, 0);
    }
    return child;
}

[[gnu::noinline]] int clone_as_vfork_once() {
    const int child = call(number_clone, CLONE_VM | CLONE_VFORK | SIGCHLD);
    if (child == 0) {
        call(number_exit, 0);
    }
    return child;
}

[[gnu::noinline]] int clone3_once() {
    std::memset(long_words, 0, sizeof(long_words));
    long_words[4] = SIGCHLD;  // clone_args::exit_signal
    const int child = call(number_clone3, at(long_words), 64);
    if (child == 0) {
        call(number_exit, 0);
    }
    return child;
}

void repeat(const char* name, long rounds, int (*once)()) {
    long made = 0;
    int error = 0;
    for (long round = 0; round < rounds; ++round) {
        const int child = once();
        if (child < 0) {
            error = -child;
            continue;
        }
        ++made;
        while (waitpid(child, nullptr, 0) < 0 && errno == EINTR) {
        }
    }
    std::printf("%s %ld %d\n", name, made, error);
}

int make_tasks(long rounds) {
    repeat("fork", rounds, fork_once);
    repeat("vfork", rounds, vfork_once);
    repeat("clone", rounds, clone_once);
    repeat("clone-vfork", rounds, clone_as_vfork_once);
    repeat("clone3", 1, clone3_once);
    return 0;
}

int call_as_x32() {
    constexpr long x32_bit = 0x40000000;
    errno = 0;
    const long result = syscall(x32_bit | 39);  // getpid
    std::printf("x32 %d\n", result == getpid() ? 0 : errno);
    return 0;
}

}  // namespace

int main(int count, char** arguments) {
    std::setvbuf(stdout, nullptr, _IONBF, 0);  // a child must find nothing to write again
    const std::string_view what = count > 1 ? arguments[1] : "";
    const char* second = count > 2 ? arguments[2] : "";
    if (what == "files") {
        return make_files(second);
    }
    if (what == "tasks") {
        return make_tasks(std::strtol(second, nullptr, 10));
    }
    if (what == "x32") {
        return call_as_x32();
    }
    std::fputs("usage: compat files full|room|free, compat tasks ROUNDS, compat x32\n", stderr);
    return 64;
}
