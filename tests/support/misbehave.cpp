// A daemon that does what daemons should not: the star of the suite. Static and small, so that a thousand of
// it are cheap; everything that it is told to do is combinable. `misbehave --help` is its documentation.

#include <fcntl.h>
#include <linux/sched.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <string>
#include <vector>

#include "counts.h"
#include "misbehave_options.h"

using gpcsup::support::Counts;
using gpcsup::support::counts_magic;
using gpcsup::support::Detach;
using gpcsup::support::Fork;
using gpcsup::support::ForkHow;
using gpcsup::support::give_up;
using gpcsup::support::Notify;
using gpcsup::support::Wishes;

namespace {

Counts* counts = nullptr;  // always mapped: anonymous memory without --count-file

std::uint64_t now_ns() {
    timespec now{};
    clock_gettime(CLOCK_MONOTONIC, &now);
    return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000U + static_cast<std::uint64_t>(now.tv_nsec);
}

void pass_time(long milliseconds) {
    timespec left{milliseconds / 1000, (milliseconds % 1000) * 1'000'000};
    while (nanosleep(&left, &left) == -1 && errno == EINTR) {
    }
}

Counts* map_counts(const std::string& path) {
    int fd = -1;
    if (!path.empty()) {
        fd = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
        if (fd == -1 || ftruncate(fd, sizeof(Counts)) == -1) {
            give_up("open", path.c_str());
        }
    }
    void* place = mmap(nullptr, sizeof(Counts), PROT_READ | PROT_WRITE,
                       MAP_SHARED | (fd == -1 ? MAP_ANONYMOUS : 0), fd, 0);
    if (place == MAP_FAILED) {
        give_up("map", path.c_str());
    }
    if (fd != -1) {
        close(fd);
    }
    auto* mapped = static_cast<Counts*>(place);
    mapped->magic = counts_magic;
    return mapped;
}

int print_counts(const char* path) {
    const Counts* read = map_counts(path);
    const auto line = [](const char* name, auto number) {
        std::printf("%s %lld\n", name, static_cast<long long>(number));
    };
    line("pid", read->pid.load());
    line("forks", read->forks.load());
    line("forks_refused", read->forks_refused.load());
    line("fork_errno", read->fork_errno.load());
    line("other_errno", read->other_errno.load());
    line("alive", read->alive.load());
    line("most_alive", read->most_alive.load());
    line("files", read->files.load());
    line("files_refused", read->files_refused.load());
    line("file_errno", read->file_errno.load());
    line("threads", read->threads.load());
    line("threads_refused", read->threads_refused.load());
    line("terms", read->terms.load());
    line("bytes_written", read->bytes_written.load());
    line("rounds", read->rounds.load());
    line("longest_gap_ns", read->longest_gap_ns.load());
    return 0;
}

void* sleep_for_ever(void*) {
    for (;;) {
        pause();
    }
}

void* spin_for_ever(void*) {
    for (;;) {
        asm volatile("" ::: "memory");  // a loop that the compiler may not take for a mistake
    }
}

bool start_thread(void* (*body)(void*), void* argument = nullptr) {
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, 64 * 1024);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    pthread_t thread{};
    const int refused = pthread_create(&thread, &attributes, body, argument);
    pthread_attr_destroy(&attributes);
    (refused == 0 ? counts->threads : counts->threads_refused).fetch_add(1);
    errno = refused;
    return refused == 0;
}

// One new process by the system call that was asked for. -1 and errno when refused.
pid_t make_process(ForkHow how) {
    switch (how) {
        case ForkHow::clone:
            return static_cast<pid_t>(syscall(SYS_clone, SIGCHLD, nullptr, nullptr, nullptr, nullptr));
        case ForkHow::clone3: {
            clone_args arguments{};
            arguments.exit_signal = SIGCHLD;
            return static_cast<pid_t>(syscall(SYS_clone3, &arguments, sizeof arguments));
        }
        case ForkHow::clone_parent:
            return static_cast<pid_t>(
                syscall(SYS_clone, CLONE_PARENT | SIGCHLD, nullptr, nullptr, nullptr, nullptr));
        default:
            return fork();
    }
}

void note_fork(bool made, int code) {
    if (made) {
        counts->forks.fetch_add(1);
        return;
    }
    counts->forks_refused.fetch_add(1);
    counts->fork_errno.store(code);
    if (code != EAGAIN) {
        counts->other_errno.store(code);
    }
}

// Takes one of the places that --most allows; the child keeps it until it is killed.
bool take_place(const Wishes& wishes) {
    const std::uint64_t alive = counts->alive.fetch_add(1) + 1;
    if (alive > static_cast<std::uint64_t>(wishes.most)) {
        counts->alive.fetch_sub(1);
        return false;
    }
    std::uint64_t most = counts->most_alive.load();
    while (alive > most && !counts->most_alive.compare_exchange_weak(most, alive)) {
    }
    return true;
}

[[noreturn]] void bomb(const Wishes& wishes);

void* bomb_of_threads(void* wishes) {
    bomb(*static_cast<const Wishes*>(wishes));
}

// One more task that goes on in the bomb; where it is a process, this returns in it, too, with 0.
pid_t make_bomber(const Wishes& wishes) {
    if (wishes.fork_how == ForkHow::thread) {
        return start_thread(bomb_of_threads, const_cast<Wishes*>(&wishes)) ? 1 : -1;
    }
    return make_process(wishes.fork_how);
}

// Every process that comes out of this goes on in it; the bomb ends only by signals.
[[noreturn]] void bomb(const Wishes& wishes) {
    for (;;) {
        if (!take_place(wishes)) {
            pass_time(50);  // full by our own measure: stay, so that something is there to be killed
            continue;
        }
        // A child of vfork must not leave the frame that its parent waits in.
        const pid_t child = wishes.fork_how == ForkHow::vfork ? vfork() : make_bomber(wishes);
        if (child == 0) {
            continue;
        }
        const int code = errno;
        note_fork(child > 0, code);
        if (child == -1) {
            counts->alive.fetch_sub(1);
        }
    }
}

bool make_short_child(ForkHow how) {
    if (how == ForkHow::thread) {
        pthread_t thread{};
        const int refused = pthread_create(
            &thread, nullptr, [](void*) -> void* { return nullptr; }, nullptr);
        note_fork(refused == 0, refused);
        return refused == 0 && pthread_join(thread, nullptr) == 0;
    }
    pid_t child = 0;
    if (how == ForkHow::vfork) {
        child = vfork();
    } else {
        child = make_process(how);
    }
    if (child == 0) {
        _exit(0);
    }
    const int code = errno;
    note_fork(child > 0, code);
    while (child > 0 && waitpid(child, nullptr, 0) == -1 && errno == EINTR) {
    }
    return child > 0;
}

[[noreturn]] void churn(const Wishes& wishes) {
    std::uint64_t last = now_ns();
    for (long made = 0;; ++made) {
        make_short_child(wishes.fork_how);
        if (wishes.fork == Fork::rate) {
            pass_time(std::max(1L, 1000 / std::max(1L, wishes.fork_rate)));
        }
        const std::uint64_t now = now_ns();
        if (now - last > counts->longest_gap_ns.load()) {
            counts->longest_gap_ns.store(now - last);
        }
        last = now;
        counts->rounds.fetch_add(1);
    }
}

void notify(const char* text) {
    const char* name = std::getenv("NOTIFY_SOCKET");
    if (name == nullptr) {
        return;
    }
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    const std::size_t length = std::min(std::strlen(name), sizeof address.sun_path - 1);
    std::memcpy(address.sun_path, name, length);
    if (address.sun_path[0] == '@') {
        address.sun_path[0] = '\0';
    }
    const int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + length);
    if (sendto(fd, text, std::strlen(text), 0, reinterpret_cast<sockaddr*>(&address), size) == -1) {
        give_up("notify", name);
    }
    close(fd);
}

void tell(const Wishes& wishes, const char* event) {
    if (wishes.tell.empty()) {
        return;
    }
    char line[256];
    const int length = std::snprintf(line, sizeof line, "%s %s %llu\n", wishes.name.c_str(), event,
                                     static_cast<unsigned long long>(now_ns()));
    const int fd = open(wishes.tell.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    if (fd == -1 || write(fd, line, static_cast<std::size_t>(length)) != length) {
        give_up("write", wishes.tell.c_str());
    }
    close(fd);
    std::printf("%s", line);
    std::fflush(stdout);
}

void detach(Detach how) {
    if (how == Detach::none) {
        return;
    }
    pid_t child = 0;
    if (how == Detach::clone_parent) {
        child = static_cast<pid_t>(
            syscall(SYS_clone, CLONE_PARENT | SIGCHLD, nullptr, nullptr, nullptr, nullptr));
    } else {
        child = fork();
    }
    if (child == -1) {
        give_up("fork", "the daemon");
    }
    if (child > 0) {
        _exit(0);
    }
    if (how == Detach::twice) {
        setsid();
        detach(Detach::once);
    }
}

void make_orphans(long number) {
    for (long made = 0; made < number; ++made) {
        const pid_t child = fork();
        note_fork(child != -1, errno);
        if (child == 0) {
            const pid_t orphan = fork();
            if (orphan == 0) {
                sleep_for_ever(nullptr);
            }
            note_fork(orphan != -1, errno);
            _exit(0);
        }
        if (child > 0) {
            waitpid(child, nullptr, 0);
        }
    }
}

void make_children(long number) {
    for (long made = 0; made < number; ++made) {
        const pid_t child = fork();
        note_fork(child != -1, errno);
        if (child == 0) {
            sleep_for_ever(nullptr);
        }
    }
}

void leak_files(long number) {
    for (long opened = 0; opened < number; ++opened) {
        if (open("/dev/null", O_RDONLY) == -1) {
            counts->file_errno.store(errno);
            counts->files_refused.fetch_add(1);
        } else {
            counts->files.fetch_add(1);
        }
    }
}

void chat(long bytes) {
    char line[65];
    for (long written = 0; written < bytes; written += 64) {
        std::snprintf(line, sizeof line, "line %-58ld", written / 64);
        line[63] = '\n';
        for (std::size_t done = 0; done < 64;) {
            const ssize_t sent = write(STDOUT_FILENO, line + done, 64 - done);
            if (sent == -1 && errno != EINTR) {
                give_up("write", "stdout");
            }
            done += sent > 0 ? static_cast<std::size_t>(sent) : 0;
        }
        counts->bytes_written.fetch_add(64);
    }
}

// One more process does what never returns, so that this one can still answer signals.
void fork_without_end(const Wishes& wishes) {
    if (wishes.fork == Fork::none) {
        return;
    }
    const pid_t child = fork();
    note_fork(child != -1, errno);
    if (child != 0) {
        return;
    }
    if (wishes.fork == Fork::bomb && take_place(wishes)) {
        bomb(wishes);
    }
    churn(wishes);
}

[[noreturn]] void end(const Wishes& wishes) {
    if (wishes.crash) {
        signal(SIGSEGV, SIG_DFL);
        raise(SIGSEGV);
    }
    tell(wishes, "stopped");
    std::exit(wishes.exit_code);
}

[[noreturn]] void serve(const Wishes& wishes, const sigset_t& ending) {
    timespec limit{wishes.exit_after_ms / 1000, (wishes.exit_after_ms % 1000) * 1'000'000};
    for (;;) {
        const int got =
            wishes.exit_after_ms < 0 ? sigwaitinfo(&ending, nullptr) : sigtimedwait(&ending, nullptr, &limit);
        if (got == -1 && errno == EAGAIN) {
            end(wishes);
        }
        if (got == -1) {
            continue;
        }
        counts->terms.fetch_add(1);
        if (!wishes.ignore_term) {
            tell(wishes, "stopping");
            pass_time(wishes.stop_delay_ms);
            end(wishes);
        }
    }
}

void run_again_without_environment(char** arguments) {
    std::vector<char*> kept;
    for (char** word = arguments; *word != nullptr; ++word) {
        if (std::strcmp(*word, "--clear-env") != 0) {
            kept.push_back(*word);
        }
    }
    kept.push_back(nullptr);
    char* nothing = nullptr;
    execve("/proc/self/exe", kept.data(), &nothing);
    give_up("execute", "/proc/self/exe");
}

void say_ready(const Wishes& wishes) {
    if (wishes.notify == Notify::ready) {
        pass_time(wishes.notify_delay_ms);
        notify("READY=1\n");
    } else if (wishes.notify == Notify::never) {
        notify("STATUS=never ready\n");
    }
}

void become_daemon(const Wishes& wishes) {
    detach(wishes.detach);
    if (wishes.new_session) {
        setsid();
    }
    counts->pid.store(getpid());
    if (!wishes.pidfile.empty()) {
        std::FILE* file = std::fopen(wishes.pidfile.c_str(), "we");
        if (file == nullptr || std::fprintf(file, "%d\n", getpid()) < 0 || std::fclose(file) != 0) {
            give_up("write", wishes.pidfile.c_str());
        }
    }
}

void use_things(const Wishes& wishes) {
    leak_files(wishes.leak_fds);
    for (long made = 0; made < wishes.threads; ++made) {
        start_thread(sleep_for_ever);
    }
    for (long made = 0; made < wishes.eaters; ++made) {
        start_thread(spin_for_ever);
    }
    make_orphans(wishes.orphans);
    make_children(wishes.children);
    fork_without_end(wishes);
}

}  // namespace

int main(int argc, char** argv) {
    const Wishes wishes = gpcsup::support::parse_wishes(argc, argv);
    if (!wishes.read_counts.empty()) {
        return print_counts(wishes.read_counts.c_str());
    }
    if (wishes.clear_env) {
        run_again_without_environment(argv);
    }
    counts = map_counts(wishes.count_file);
    if (wishes.ignore_sigchld) {
        signal(SIGCHLD, SIG_IGN);
    }
    sigset_t ending;
    sigemptyset(&ending);
    for (const int number : {SIGTERM, SIGINT, SIGHUP}) {
        sigaddset(&ending, number);
    }
    become_daemon(wishes);
    use_things(
        wishes);  // its children die of SIGTERM: only the daemon itself blocks the signals that it waits for
    sigprocmask(SIG_BLOCK, &ending, nullptr);
    tell(wishes, "started");
    chat(wishes.chatty);
    if (wishes.close_stdio) {
        for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
            close(fd);
        }
    }
    say_ready(wishes);
    serve(wishes, ending);
}
