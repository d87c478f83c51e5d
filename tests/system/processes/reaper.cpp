#include "system/processes/reaper.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <csignal>
#include <cstring>
#include <ctime>
#include <fstream>
#include <thread>

#include "sys/clocks.h"
#include "sys/proc_files.h"

namespace gpcsup::tests {
namespace {

struct Request {
    Load load = Load::shell;
    char text[1500] = {};
    char groups[2][200] = {};
};

[[noreturn]] void pause_for_ever() {
    for (;;) {
        ::pause();
    }
}

[[noreturn]] void run_threads(int count) {
    for (int index = 1; index < count; ++index) {
        std::thread(pause_for_ever).detach();
    }
    if (::fork() == 0) {
        ::_exit(0);  // a zombie: nobody waits for it
    }
    pause_for_ever();
}

[[noreturn]] void run_hopper() {
    for (;;) {
        const pid_t child = ::fork();
        if (child > 0) {
            ::_exit(0);
        }
        if (child == 0 && ::getpid() % 3 == 0) {
            ::setsid();
        }
        ::usleep(300);
    }
}

[[noreturn]] void run_tree(int count) {
    ::clearenv();
    for (int index = 0; index < count; ++index) {
        if (::fork() == 0) {
            if (::fork() == 0) {
                ::setsid();
                if (::fork() == 0) {
                    pause_for_ever();
                }
                pause_for_ever();
            }
            ::_exit(0);
        }
    }
    while (::wait(nullptr) > 0) {
    }
    pause_for_ever();
}

[[noreturn]] void become(const Request& request) {
    for (const auto& group : request.groups) {
        if (group[0] != '\0') {
            const int file = ::open(group, O_WRONLY | O_CLOEXEC);
            if (file < 0 || ::write(file, "0", 1) != 1) {
                ::_exit(120);
            }
            ::close(file);
        }
    }
    ::setsid();
    sigset_t none;
    sigemptyset(&none);
    ::sigprocmask(SIG_SETMASK, &none, nullptr);
    switch (request.load) {
        case Load::shell:
            ::execl("/bin/bash", "bash", "-c", request.text, nullptr);
            ::_exit(127);
        case Load::threads:
            run_threads(std::stoi(request.text));
        case Load::hopper:
            run_hopper();
        case Load::tree:
            run_tree(std::stoi(request.text));
    }
    ::_exit(126);
}

// As gpc-init does: peek, record, publish, reap. A full ring leaves the zombie.
void reap(wire::ExitRing& ring, sys::ProcFiles& files) {
    sys::RealClocks clocks;
    while (ring.head.load() - ring.tail.load() < wire::exit_ring_capacity) {
        siginfo_t info{};
        rusage usage{};
        if (::syscall(SYS_waitid, P_ALL, 0, &info, WEXITED | WNOWAIT | WNOHANG, &usage) != 0 ||
            info.si_pid == 0) {
            return;
        }
        const auto microseconds = [](const timeval& time) {
            return static_cast<std::uint64_t>(time.tv_sec) * 1'000'000 +
                   static_cast<std::uint64_t>(time.tv_usec);
        };
        const std::uint64_t head = ring.head.load();
        wire::ExitRecord& record = ring.records[head % wire::exit_ring_capacity];
        record = {};
        record.sequence = head;
        record.pid = info.si_pid;
        record.code = info.si_code;
        record.status = info.si_status;
        record.user_us = microseconds(usage.ru_utime);
        record.system_us = microseconds(usage.ru_stime);
        if (const auto stat = files.stat(info.si_pid)) {
            record.start_time = stat->start_time;
            record.session = stat->session;
        }
        record.clock_ns = static_cast<std::uint64_t>(
            clocks.process(info.si_pid).value_or(std::chrono::nanoseconds(0)).count());
        ring.head.store(head + 1);
        ::syscall(SYS_waitid, P_PID, info.si_pid, nullptr, WEXITED, nullptr);
    }
}

[[noreturn]] void reaper_main(int socket, wire::ExitRing& ring) {
    ::prctl(PR_SET_CHILD_SUBREAPER, 1);
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    ::setsid();
    sigset_t mask;
    sigemptyset(&mask);
    sigaddset(&mask, SIGCHLD);
    ::sigprocmask(SIG_BLOCK, &mask, nullptr);
    const int signals = ::signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
    auto files = sys::RealProcFiles::open();
    if (!files) {
        ::_exit(1);
    }
    for (;;) {
        pollfd entries[] = {{socket, POLLIN, 0}, {signals, POLLIN, 0}};
        // A full ring tells nobody when it has room again: look every 10 ms then.
        const bool full = ring.head.load() - ring.tail.load() >= wire::exit_ring_capacity;
        (void)::poll(entries, 2, full ? 10 : -1);
        signalfd_siginfo info{};
        while (::read(signals, &info, sizeof info) > 0) {
        }
        reap(ring, *files);
        if ((entries[0].revents & (POLLIN | POLLHUP)) != 0) {
            Request request;
            if (::recv(socket, &request, sizeof request, 0) <= 0) {
                ::_exit(0);
            }
            const pid_t child = ::fork();
            if (child == 0) {
                ::close(socket);
                become(request);
            }
            (void)::send(socket, &child, sizeof child, MSG_NOSIGNAL);
        }
    }
}

std::uint64_t read_number(const std::filesystem::path& path) {
    std::ifstream file(path);
    std::uint64_t number = 0;
    file >> number;
    return number;
}

}  // namespace

bool KernelGroup::available() {
    return ::geteuid() == 0 && ::access("/sys/fs/cgroup/cpuacct/cgroup.procs", W_OK) == 0 &&
           ::access("/sys/fs/cgroup/pids/cgroup.procs", W_OK) == 0;
}

KernelGroup::KernelGroup(const std::string& name) {
    for (const char* controller : {"cpuacct", "pids"}) {
        const auto path = std::filesystem::path("/sys/fs/cgroup") / controller /
                          ("gpcsup-test-" + std::to_string(::getpid()) + "-" + name);
        std::filesystem::create_directory(path);
        directories_.push_back(path);
    }
}

KernelGroup::~KernelGroup() {
    for (const auto& directory : directories_) {
        for (int attempt = 0; attempt < 500; ++attempt) {
            for (const pid_t pid : processes()) {
                ::kill(pid, SIGKILL);
            }
            if (::rmdir(directory.c_str()) == 0 || errno == ENOENT) {
                break;
            }
            ::usleep(10'000);  // the kernel tells nobody when a v1 group's last task is released
        }
    }
}

std::vector<std::string> KernelGroup::procs_files() const {
    return {directories_[0] / "cgroup.procs", directories_[1] / "cgroup.procs"};
}

std::uint64_t KernelGroup::cpu_ns() const {
    return read_number(directories_[0] / "cpuacct.usage");
}

std::uint64_t KernelGroup::tasks() const {
    return read_number(directories_[1] / "pids.current");
}

std::vector<pid_t> KernelGroup::processes() const {
    std::vector<pid_t> pids;
    std::ifstream file(directories_[0] / "cgroup.procs");
    for (pid_t pid = 0; file >> pid;) {
        pids.push_back(pid);
    }
    return pids;
}

Reaper::Reaper() {
    void* memory =
        ::mmap(nullptr, sizeof(wire::ExitRing), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    REQUIRE(memory != MAP_FAILED);
    ring_ = new (memory) wire::ExitRing{};
    int sockets[2];
    REQUIRE(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets) == 0);
    pid_ = ::fork();
    REQUIRE(pid_ >= 0);
    if (pid_ == 0) {
        ::close(sockets[0]);
        reaper_main(sockets[1], *ring_);
    }
    ::close(sockets[1]);
    socket_.reset(sockets[0]);
}

Reaper::~Reaper() {
    socket_.reset();
    ::waitpid(pid_, nullptr, 0);
    ::munmap(ring_, sizeof(wire::ExitRing));
}

pid_t Reaper::start(Load load, const std::string& text, const KernelGroup* group) {
    Request request;
    request.load = load;
    REQUIRE(text.size() < sizeof request.text);
    std::memcpy(request.text, text.c_str(), text.size() + 1);
    if (group != nullptr) {
        const auto files = group->procs_files();
        for (std::size_t index = 0; index < files.size(); ++index) {
            REQUIRE(files[index].size() < sizeof request.groups[index]);
            std::memcpy(request.groups[index], files[index].c_str(), files[index].size() + 1);
        }
    }
    REQUIRE(::send(socket_.get(), &request, sizeof request, MSG_NOSIGNAL) == sizeof request);
    pid_t pid = 0;
    REQUIRE(::recv(socket_.get(), &pid, sizeof pid, 0) == sizeof pid);
    REQUIRE(pid > 0);
    return pid;
}

}  // namespace gpcsup::tests
