// Makes files and processes by the calls of 32-bit programs, each way until it is refused, and prints a line
// a way: "NAME MADE ERRNO". It is a 64-bit program that enters the kernel by int 0x80, as nobody is kept from
// doing; what it points to lies below 4 GiB, since it is linked static at a fixed address. A kernel without
// 32-bit calls ends it with SIGSEGV.

#include <asm/unistd_32.h>  // the numbers of 32-bit calls, in the names that the 64-bit ones usually have
#include <fcntl.h>
#include <linux/sched.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstring>

namespace {

constexpr int most = 4096;
int made[most];
int count = 0;

int enter(unsigned number, unsigned a = 0, unsigned b = 0, unsigned c = 0, unsigned d = 0) {
    int result = 0;
    asm volatile("int $0x80"
                 : "=a"(result)
                 : "a"(number), "b"(a), "c"(b), "d"(c), "S"(d), "D"(0)
                 : "memory", "cc", "r8", "r9", "r10", "r11");
    return result;
}

unsigned address(const void* what) {
    return static_cast<unsigned>(reinterpret_cast<std::uintptr_t>(what));
}

// An error is what is returned.
int keep(int result) {
    if (result >= 0) {
        made[count++] = result;
    }
    return result;
}

int keep_two(int result, const int (&pair)[2]) {
    if (result >= 0) {
        keep(pair[0]);
        keep(pair[1]);
    }
    return result;
}

const char null_device[] = "/dev/null";
const char name[] = "compat";
int pair[2];
std::uint64_t how[3];
std::uint64_t no_signals;
unsigned socket_arguments[] = {AF_UNIX, SOCK_STREAM, 0};
clone_args process_arguments;

int child_of(int pid) {
    if (pid == 0) {
        for (;;) {
            pause();
        }
    }
    return keep(pid);
}

struct Way {
    const char* name;
    int (*make)();
};

constexpr Way files[] = {
    {"open", [] { return keep(enter(__NR_open, address(null_device), O_RDONLY)); }},
    {"creat", [] { return keep(enter(__NR_creat, address(null_device), 0600)); }},
    {"openat", [] { return keep(enter(__NR_openat, AT_FDCWD, address(null_device), O_RDONLY)); }},
    {"openat2",
     [] { return keep(enter(__NR_openat2, AT_FDCWD, address(null_device), address(how), sizeof how)); }},
    {"socketcall", [] { return keep(enter(__NR_socketcall, 1, address(socket_arguments))); }},
    {"socket", [] { return keep(enter(__NR_socket, AF_UNIX, SOCK_STREAM, 0)); }},
    {"socketpair",
     [] { return keep_two(enter(__NR_socketpair, AF_UNIX, SOCK_STREAM, 0, address(pair)), pair); }},
    {"pipe", [] { return keep_two(enter(__NR_pipe, address(pair)), pair); }},
    {"pipe2", [] { return keep_two(enter(__NR_pipe2, address(pair), O_CLOEXEC), pair); }},
    {"epoll_create1", [] { return keep(enter(__NR_epoll_create1, 0)); }},
    {"eventfd2", [] { return keep(enter(__NR_eventfd2, 0, 0)); }},
    {"signalfd4", [] { return keep(enter(__NR_signalfd4, ~0u, address(&no_signals), 8, 0)); }},
    {"timerfd_create", [] { return keep(enter(__NR_timerfd_create, 1, 0)); }},
    {"inotify_init1", [] { return keep(enter(__NR_inotify_init1, 0)); }},
    {"memfd_create", [] { return keep(enter(__NR_memfd_create, address(name), 0)); }},
    {"pidfd_open", [] { return keep(enter(__NR_pidfd_open, static_cast<unsigned>(getpid()), 0)); }},
};

constexpr Way processes[] = {
    {"fork", [] { return child_of(enter(__NR_fork)); }},
    {"clone", [] { return child_of(enter(__NR_clone, SIGCHLD)); }},
    {"clone3",
     [] {
         process_arguments.exit_signal = SIGCHLD;
         return child_of(enter(__NR_clone3, address(&process_arguments), sizeof process_arguments));
     }},
};

template <std::size_t size>
void exhaust(const Way (&ways)[size], void (*let_go)(int)) {
    for (const Way& way : ways) {
        int result = 0;
        while (count < most - 2 && result >= 0) {
            result = way.make();
        }
        std::printf("%s %d %d\n", way.name, count, -result);
        std::fflush(stdout);
        while (count > 0) {
            let_go(made[--count]);
        }
    }
}

void end(int pid) {
    kill(pid, SIGKILL);
    waitpid(pid, nullptr, 0);
}

}  // namespace

int main(int argc, char** argv) {
    const bool of_processes = argc > 1 && std::strcmp(argv[1], "processes") == 0;
    if (argc != 2 || (!of_processes && std::strcmp(argv[1], "files") != 0)) {
        std::fprintf(stderr, "usage: compat_calls files|processes\n");
        return 64;
    }
    if (of_processes) {
        exhaust(processes, end);
    } else {
        exhaust(files, [](int fd) { close(fd); });
    }
    return 0;
}
