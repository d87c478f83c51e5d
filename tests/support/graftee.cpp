// A process that is grafted while it works: each argument is something that one of its threads does, over and
// over, and counts what goes wrong in it. Commands come on standard input, one letter each, and are answered
// by one line each on standard output.
//   f  fork and wait: "ok" or the errno      t  a thread: likewise      o  open a file: likewise
//   w  what went wrong so far: "0" or a list     u  how often SIGUSR1 was handled     e  a turn of everybody
//   x  a thread executes the program anew    q  ends
//   X  likewise, and its execve waits for a page of its environment, to be had with "userfaultfd NUMBER
//   ADDRESS"

#include <fcntl.h>
#include <linux/filter.h>
#include <linux/futex.h>
#include <linux/seccomp.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>

namespace {

char** program;
std::atomic<int> wrong_count{0};
char wrong[512];
std::atomic<int> handled{0};
std::atomic<std::uint32_t> word{0};
int ready_pipe[2];
constexpr int most_roles = 16;
std::atomic<std::uint64_t> turns[most_roles];
int role_count = 0;

void went_wrong(const char* what, long value) {
    if (wrong_count.fetch_add(1) == 0) {
        std::snprintf(wrong, sizeof(wrong), "%s: %ld (errno %d)", what, value, errno);
    }
}

void expect(const char* what, bool holds, long value) {
    if (!holds) {
        went_wrong(what, value);
    }
}

std::uint64_t now_ns() {
    timespec time{};
    clock_gettime(CLOCK_MONOTONIC, &time);
    return static_cast<std::uint64_t>(time.tv_sec) * 1'000'000'000 + static_cast<std::uint64_t>(time.tv_nsec);
}

// Values in every kind of register, among them those that a system call changes, and below the stack pointer.
void compute() {
    std::uint64_t sum = 0;
    asm volatile(
        "movq $0x1111, %%rax\n movq $0x2222, %%rdi\n movq $0x3333, %%rsi\n movq $0x4444, %%rdx\n"
        "movq $0x5555, %%r10\n movq $0x6666, %%r8\n movq $0x7777, %%r9\n movq $200000, %%rcx\n movq $0x9999, "
        "%%r11\n"
        "movq $0x1234, -120(%%rsp)\n stc\n"
        "1: leaq -1(%%rcx), %%rcx\n setc %%bl\n movzbq %%bl, %%rbx\n xorq $1, %%rbx\n addq %%rbx, %[sum]\n "
        "stc\n"
        "jrcxz 2f\n jmp 1b\n"
        "2: subq $0x1111, %%rax\n addq %%rax, %[sum]\n subq $0x2222, %%rdi\n addq %%rdi, %[sum]\n"
        "subq $0x3333, %%rsi\n addq %%rsi, %[sum]\n subq $0x4444, %%rdx\n addq %%rdx, %[sum]\n"
        "subq $0x5555, %%r10\n addq %%r10, %[sum]\n subq $0x6666, %%r8\n addq %%r8, %[sum]\n"
        "subq $0x7777, %%r9\n addq %%r9, %[sum]\n subq $0x9999, %%r11\n addq %%r11, %[sum]\n"
        "movq -120(%%rsp), %%rax\n subq $0x1234, %%rax\n addq %%rax, %[sum]\n"
        : [sum] "+r"(sum)
        :
        : "rax", "rdi", "rsi", "rdx", "r10", "r8", "r9", "rcx", "r11", "rbx", "memory", "cc");
    expect("registers", sum == 0, static_cast<long>(sum));
}

void sleep_once(long milliseconds) {
    const timespec time{0, milliseconds * 1'000'000};
    const std::uint64_t began = now_ns();
    const int result = nanosleep(&time, nullptr);
    expect("nanosleep", result == 0, result);
    expect("slept too short", now_ns() - began >= static_cast<std::uint64_t>(milliseconds) * 1'000'000, 0);
}

void wait_on_futex() {
    const std::uint32_t value = word.load();
    const long result = syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, value, nullptr, nullptr, 0);
    expect("futex", result == 0 || errno == EAGAIN, result);
}

void poll_once() {
    pollfd nothing{ready_pipe[0], POLLIN, 0};
    const std::uint64_t began = now_ns();
    const int result = poll(&nothing, 1, 150);
    expect("poll", result == 0, result);
    expect("polled too short", now_ns() - began >= 149'000'000, 0);
}

void wait_on_epoll(int timeout) {
    static thread_local int own = -1;
    if (own < 0) {
        own = epoll_create1(EPOLL_CLOEXEC);
        epoll_event event{};
        event.events = EPOLLIN;
        epoll_ctl(own, EPOLL_CTL_ADD, ready_pipe[0], &event);
    }
    epoll_event event{};
    const int result = epoll_wait(own, &event, 1, timeout);
    expect("epoll_wait", result == 0, result);
}

void wait_for_signal() {
    sigset_t others;
    pthread_sigmask(SIG_BLOCK, nullptr, &others);
    sigdelset(&others, SIGUSR1);
    const int before = handled.load();
    sigsuspend(&others);  // returns when a handler has run, and only then
    expect("sigsuspend", handled.load() != before, 0);
}

// A stream through a pipe: more than it holds at once, each byte checked.
int stream[2];
void write_stream() {
    static std::uint32_t next = 0;
    static std::uint32_t block[32768];
    for (std::uint32_t& one : block) {
        one = next++;
    }
    std::size_t sent = 0;
    while (sent < sizeof(block)) {
        const ssize_t result = write(stream[1], reinterpret_cast<char*>(block) + sent, sizeof(block) - sent);
        if (result <= 0) {
            return went_wrong("write", result);
        }
        sent += static_cast<std::size_t>(result);
    }
}
void read_stream() {
    static std::uint32_t next = 0;
    std::uint32_t block[512];
    std::size_t got = 0;
    while (got < sizeof(block)) {
        const ssize_t result = read(stream[0], reinterpret_cast<char*>(block) + got, sizeof(block) - got);
        if (result <= 0) {
            return went_wrong("read", result);
        }
        got += static_cast<std::size_t>(result);
    }
    for (const std::uint32_t one : block) {
        expect("stream", one == next++, one);
    }
}

void forget_privileges() {
    static thread_local bool done = false;
    if (!done) {
        done = true;
        prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    }
    sleep_once(50);
}

void filter_itself() {
    static thread_local bool done = false;
    if (!done) {
        done = true;
        prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
        sock_filter allow[] = {{BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW}};
        sock_fprog all{1, allow};
        expect("filter", syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &all) == 0, 0);
    }
    sleep_once(50);
}

void take_a_turn(const char* role) {
    const auto is = [role](const char* name) { return std::strcmp(role, name) == 0; };
    if (is("user")) {
        compute();
    } else if (is("nanosleep")) {
        sleep_once(150);
    } else if (is("futex")) {
        wait_on_futex();
    } else if (is("poll")) {
        poll_once();
    } else if (is("epoll")) {
        wait_on_epoll(-1);
    } else if (is("epoll-timed")) {
        wait_on_epoll(100);
    } else if (is("sigsuspend")) {
        wait_for_signal();
    } else if (is("writer")) {
        write_stream();
    } else if (is("reader")) {
        read_stream();
    } else if (is("promise")) {
        forget_privileges();
    } else if (is("filtered")) {
        filter_itself();
    } else if (is("unshared")) {
        static thread_local const int once = unshare(CLONE_FILES);
        expect("unshare", once == 0, once);
        sleep_once(50);
    } else {
        std::fprintf(stderr, "graftee: unknown role %s\n", role);
        std::exit(64);
    }
}

void* play(void* argument) {
    const auto index = reinterpret_cast<std::intptr_t>(argument);
    const char* role = program[1 + index];
    sigset_t user;
    sigemptyset(&user);
    sigaddset(&user, SIGUSR1);
    pthread_sigmask(SIG_BLOCK, &user, nullptr);
    for (;;) {
        take_a_turn(role);
        turns[index].fetch_add(1);
    }
    return nullptr;
}

const char* text_of(int error) {
    static char text[64];
    std::snprintf(text, sizeof(text), "errno %d", error);
    return error == 0 ? "ok" : text;
}

const char* fork_once() {
    const pid_t child = fork();
    if (child == 0) {
        _exit(7);
    }
    if (child < 0) {
        return text_of(errno);
    }
    int status = 0;
    while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
    }
    return WIFEXITED(status) && WEXITSTATUS(status) == 7 ? "ok" : "lost";
}

const char* make_thread() {
    pthread_t thread{};
    const int error = pthread_create(
        &thread, nullptr, [](void* argument) { return argument; }, nullptr);
    if (error == 0) {
        pthread_join(thread, nullptr);
    }
    return text_of(error);
}

const char* open_once() {
    const int descriptor = open("/dev/null", O_RDONLY | O_CLOEXEC);
    const int error = descriptor < 0 ? errno : 0;
    if (descriptor >= 0) {
        close(descriptor);
    }
    return text_of(error);
}

// Until everybody who can has come round once more; those who wait for somebody are not waited for.
const char* everybody() {
    std::uint64_t before[most_roles];
    for (int at = 0; at < role_count; ++at) {
        before[at] = turns[at].load();
    }
    for (int at = 0; at < role_count; ++at) {
        const char* role = program[1 + at];
        if (std::strcmp(role, "epoll") == 0 || std::strcmp(role, "sigsuspend") == 0) {
            continue;
        }
        while (turns[at].load() == before[at]) {
            word.fetch_add(1);
            syscall(SYS_futex, &word, FUTEX_WAKE_PRIVATE, 64, nullptr, nullptr, 0);
            const timespec moment{0, 1'000'000};
            nanosleep(&moment, nullptr);
        }
    }
    return "ok";
}

void* execute_anew(void*) {
    execv("/proc/self/exe", program);
    _exit(127);
}

// An environment on a page that is not there until somebody fills it in: the execve that copies it waits.
char* late_page = nullptr;
int late_pages = -1;

bool make_late_page() {
    late_page =
        static_cast<char*>(mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    late_pages = static_cast<int>(syscall(SYS_userfaultfd, O_CLOEXEC));
    uffdio_api version{UFFD_API, 0, 0};
    uffdio_register area{{reinterpret_cast<std::uint64_t>(late_page), 4096}, UFFDIO_REGISTER_MODE_MISSING, 0};
    return late_pages >= 0 && ioctl(late_pages, UFFDIO_API, &version) == 0 &&
           ioctl(late_pages, UFFDIO_REGISTER, &area) == 0;
}

void* execute_late(void*) {
    char* environment[] = {late_page, nullptr};
    execve("/proc/self/exe", program, environment);
    _exit(127);
}

const char* execute_until_it_waits() {
    if (!make_late_page()) {
        return text_of(errno);
    }
    pthread_t thread{};
    uffd_msg fault{};
    const int error = pthread_create(&thread, nullptr, execute_late, nullptr);
    if (error != 0 || read(late_pages, &fault, sizeof(fault)) != sizeof(fault)) {
        return text_of(error != 0 ? error : errno);
    }
    static char text[64];
    std::snprintf(text, sizeof(text), "userfaultfd %d %llu", late_pages,
                  static_cast<unsigned long long>(reinterpret_cast<std::uintptr_t>(late_page)));
    return text;
}

void say(const char* line) {
    char text[600];
    const int length = std::snprintf(text, sizeof(text), "%s\n", line);
    if (write(STDOUT_FILENO, text, static_cast<std::size_t>(length)) != length) {
        _exit(1);
    }
}

void* obey(void*) {
    say("ready");
    char letter = 0;
    for (ssize_t got = read(STDIN_FILENO, &letter, 1); got != 0; got = read(STDIN_FILENO, &letter, 1)) {
        if (got < 0) {
            went_wrong("read of commands", got);
            continue;
        }
        char number[16];
        std::snprintf(number, sizeof(number), "%d", handled.load());
        pthread_t thread{};
        switch (letter) {
            case 'f':
                say(fork_once());
                break;
            case 't':
                say(make_thread());
                break;
            case 'o':
                say(open_once());
                break;
            case 'w':
                say(wrong_count.load() == 0 ? "0" : wrong);
                break;
            case 'u':
                say(number);
                break;
            case 'e':
                say(everybody());
                break;
            case 'x':
                if (pthread_create(&thread, nullptr, execute_anew, nullptr) != 0) {
                    say("no thread");
                }
                break;
            case 'X':
                say(execute_until_it_waits());
                break;
            case 'q':
                _exit(0);
            default:
                break;
        }
    }
    _exit(0);
}

}  // namespace

int main(int count, char** arguments) {
    program = arguments;
    alarm(120);  // whatever becomes of the test
    if (pipe(ready_pipe) != 0 || pipe(stream) != 0) {
        return 1;
    }
    struct sigaction action {};
    action.sa_handler = [](int) { handled.fetch_add(1); };
    sigaction(SIGUSR1, &action, nullptr);
    sigset_t user;
    sigemptyset(&user);
    sigaddset(&user, SIGUSR1);
    pthread_sigmask(SIG_BLOCK, &user, nullptr);
    bool leader_ends = false;
    for (int at = 1; at < count && role_count < most_roles; ++at) {
        if (std::strcmp(arguments[at], "alone") == 0) {  // the last word, too: nobody gives commands
            for (;;) {
                pause();
            }
        }
        if (std::strcmp(arguments[at], "leader-ends") == 0) {
            leader_ends = true;  // the last word
            break;
        }
        pthread_t thread{};
        if (pthread_create(&thread, nullptr, play,
                           reinterpret_cast<void*>(static_cast<std::intptr_t>(at - 1))) != 0) {
            return 1;
        }
        ++role_count;
    }
    if (leader_ends) {
        pthread_t thread{};
        pthread_create(&thread, nullptr, obey, nullptr);
        pthread_exit(nullptr);
    }
    obey(nullptr);
}
