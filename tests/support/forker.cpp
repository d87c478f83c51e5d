// forker MODE COUNT: makes processes or threads as fast as it can and says how it went, for the tests of
// limits on tasks. Waits for a byte (or the end) on its standard input first. Prints one line: "made N
// refused N errno N".
//   fork, vfork, spawn, thread   COUNT times one after the other, each waited for
//   bomb                         COUNT milliseconds: every process forks on and on, until then
//   crowd                        COUNT threads at once, each of which asks for the CPU mask it has
//   policy                       asks for memory on the nodes COUNT (a mask in base 16) in every way there is
//   and
//                                prints the errors
//   affinity                     asks for the CPU mask COUNT (a number in base 16) and prints "errno N mask
//   HEX" affinity-hang                the same with the mask on a page that nobody ever fills in state prints
//   what a service inherits: parent-death signal and scheduling policy

#include <fcntl.h>
#include <linux/mempolicy.h>
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <sched.h>
#include <spawn.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <new>
#include <vector>

namespace {

struct Score {
    std::atomic<long> made;
    std::atomic<long> refused;
    std::atomic<int> error;
};

Score* score = nullptr;

void note(int error) {
    if (error == 0) {
        score->made.fetch_add(1);
    } else {
        score->refused.fetch_add(1);
        score->error.store(error);
    }
}

long now_ms() {
    timespec now{};
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void wait_for(pid_t child) {
    while (waitpid(child, nullptr, 0) < 0 && errno == EINTR) {
    }
}

void fork_once() {
    const pid_t child = fork();
    if (child == 0) {
        _exit(0);
    }
    note(child < 0 ? errno : 0);
    if (child > 0) {
        wait_for(child);
    }
}

void vfork_once() {
    const pid_t child = vfork();
    if (child == 0) {
        _exit(0);
    }
    note(child < 0 ? errno : 0);
    if (child > 0) {
        wait_for(child);
    }
}

void spawn_once() {
    pid_t child = 0;
    char name[] = "true";
    char* const arguments[] = {name, nullptr};
    char* const environment[] = {nullptr};
    const int error = posix_spawn(&child, "/bin/true", nullptr, nullptr, arguments, environment);
    note(error);
    if (error == 0) {
        wait_for(child);
    }
}

void* end_at_once(void*) {
    return nullptr;
}

void thread_once() {
    pthread_t thread{};
    const int error = pthread_create(&thread, nullptr, end_at_once, nullptr);
    note(error);
    if (error == 0) {
        pthread_join(thread, nullptr);
    }
}

void explode(long end) {
    while (now_ms() < end) {
        const pid_t child = fork();
        note(child < 0 ? errno : 0);
        if (child == 0) {
            explode(end);
            _exit(0);
        }
    }
    while (wait(nullptr) > 0 || errno == EINTR) {
    }
}

void ask_for_mask(const void* mask, std::size_t length) {
    const long result = syscall(SYS_sched_setaffinity, 0, length, mask);
    const int error = result < 0 ? errno : 0;
    std::uint64_t words[128] = {};
    syscall(SYS_sched_getaffinity, 0, sizeof(words), words);
    std::printf("errno %d mask %llx\n", error, static_cast<unsigned long long>(words[0]));
}

// The last node of the mask is the one for calls that take one node.
void ask_for_nodes(unsigned long mask) {
    constexpr std::size_t size = 1 << 16;
    void* memory = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    std::memset(memory, 1, size);
    int last = 63 - __builtin_clzl(mask);
    int status = 0;
    const auto say = [](const char* what, long result) {
        std::printf("%s %d ", what, result < 0 ? errno : 0);
    };
    say("set", syscall(SYS_set_mempolicy, MPOL_BIND, &mask, 65));
    say("mbind", syscall(SYS_mbind, memory, size, MPOL_BIND, &mask, 65, 0));
    say("migrate", syscall(SYS_migrate_pages, 0, 65, &mask, &mask));
    say("move", syscall(SYS_move_pages, 0, 1, &memory, &last, &status, MPOL_MF_MOVE));
    say("ask", syscall(SYS_move_pages, 0, 1, &memory, nullptr, &status, 0));
    say("range", syscall(SYS_mbind, memory, size, MPOL_DEFAULT, nullptr, 0, 0));
    say("local", syscall(SYS_set_mempolicy, MPOL_LOCAL, nullptr, 0));
    say("default", syscall(SYS_set_mempolicy, MPOL_DEFAULT, nullptr, 0));
    std::printf("\n");
}

void* ask_for_own_mask(void*) {
    std::uint64_t words[128] = {};
    const long length = syscall(SYS_sched_getaffinity, 0, sizeof(words), words);
    note(syscall(SYS_sched_setaffinity, 0, length, words) < 0 ? errno : 0);
    return nullptr;
}

void be_a_crowd(long count) {
    pthread_attr_t small{};
    pthread_attr_init(&small);
    pthread_attr_setstacksize(&small, 128 * 1024);
    std::vector<pthread_t> threads(static_cast<std::size_t>(count));
    for (pthread_t& thread : threads) {
        if (const int error = pthread_create(&thread, &small, ask_for_own_mask, nullptr); error != 0) {
            std::exit(error);
        }
    }
    for (const pthread_t thread : threads) {
        pthread_join(thread, nullptr);
    }
}

// A page whose first touch waits for an answer that this program never gives.
const void* hanging_page() {
    const int watcher = static_cast<int>(syscall(SYS_userfaultfd, O_CLOEXEC));
    uffdio_api api{};
    api.api = UFFD_API;
    void* page = mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    uffdio_register range{};
    range.range.start = reinterpret_cast<std::uintptr_t>(page);
    range.range.len = 4096;
    range.mode = UFFDIO_REGISTER_MODE_MISSING;
    if (watcher < 0 || ioctl(watcher, UFFDIO_API, &api) != 0 ||
        ioctl(watcher, UFFDIO_REGISTER, &range) != 0) {
        std::printf("errno -1 mask 0\n");
        std::exit(0);
    }
    return page;
}

void print_state() {
    int signal_number = 0;
    prctl(PR_GET_PDEATHSIG, &signal_number);
    std::printf("pdeathsig %d policy %d\n", signal_number, sched_getscheduler(0));
}

void repeat(long count, void (*once)()) {
    for (long i = 0; i < count; ++i) {
        once();
    }
}

}  // namespace

int main(int count, char** arguments) {
    if (count != 3) {
        std::fputs("usage: forker MODE COUNT\n", stderr);
        return 64;
    }
    void* memory = mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    score = new (memory) Score{};
    char byte = 0;
    while (read(STDIN_FILENO, &byte, 1) < 0 && errno == EINTR) {
    }
    const char* mode = arguments[1];
    const long number = std::strtol(arguments[2], nullptr, 10);
    if (std::strcmp(mode, "fork") == 0) {
        repeat(number, fork_once);
    } else if (std::strcmp(mode, "vfork") == 0) {
        repeat(number, vfork_once);
    } else if (std::strcmp(mode, "spawn") == 0) {
        repeat(number, spawn_once);
    } else if (std::strcmp(mode, "thread") == 0) {
        repeat(number, thread_once);
    } else if (std::strcmp(mode, "bomb") == 0) {
        explode(now_ms() + number);
    } else if (std::strcmp(mode, "crowd") == 0) {
        be_a_crowd(number);
    } else if (std::strcmp(mode, "affinity") == 0) {
        const std::uint64_t mask = std::strtoull(arguments[2], nullptr, 16);
        ask_for_mask(&mask, sizeof(mask));
        return 0;
    } else if (std::strcmp(mode, "policy") == 0) {
        ask_for_nodes(std::strtoul(arguments[2], nullptr, 16));
        return 0;
    } else if (std::strcmp(mode, "affinity-hang") == 0) {
        ask_for_mask(hanging_page(), 8);
        return 0;
    } else if (std::strcmp(mode, "state") == 0) {
        print_state();
        return 0;
    } else {
        return 64;
    }
    std::printf("made %ld refused %ld errno %d\n", score->made.load(), score->refused.load(),
                score->error.load());
    return 0;
}
