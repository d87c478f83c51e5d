// Starting processes and seeing them end: the part of the stage that needs no gpc-enforce.

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <sstream>

#include "system/enforce/stage.h"

namespace gpcsup::test {
namespace {

std::string variable(const char* name) {
    const char* value = std::getenv(name);
    if (value == nullptr) {
        FAIL("the environment has no " << name << ": run this by ctest or tools/test");
    }
    return value;
}

struct AgentAnswer {
    pid_t pid;
    int error;
};

void send_answer(int socket, const AgentAnswer& answer, int pidfd, int status) {
    const int passed[2] = {pidfd, status};
    char control[CMSG_SPACE(sizeof(passed))] = {};
    iovec part{const_cast<AgentAnswer*>(&answer), sizeof(answer)};
    msghdr envelope{};
    envelope.msg_iov = &part;
    envelope.msg_iovlen = 1;
    if (answer.error == 0) {
        envelope.msg_control = control;
        envelope.msg_controllen = sizeof(control);
        cmsghdr* header = CMSG_FIRSTHDR(&envelope);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(sizeof(passed));
        std::memcpy(CMSG_DATA(header), passed, sizeof(passed));
    }
    sendmsg(socket, &envelope, 0);
}

AgentAnswer receive_answer(int socket, Started& started) {
    AgentAnswer answer{0, EPIPE};
    int passed[2] = {-1, -1};
    char control[CMSG_SPACE(sizeof(passed))] = {};
    iovec part{&answer, sizeof(answer)};
    msghdr envelope{};
    envelope.msg_iov = &part;
    envelope.msg_iovlen = 1;
    envelope.msg_control = control;
    envelope.msg_controllen = sizeof(control);
    recvmsg(socket, &envelope, MSG_CMSG_CLOEXEC);
    if (const cmsghdr* header = CMSG_FIRSTHDR(&envelope); header != nullptr) {
        std::memcpy(passed, CMSG_DATA(header), sizeof(passed));
    }
    started.pid = answer.pid;
    started.pidfd.reset(passed[0]);
    started.status.reset(passed[1]);
    return answer;
}

}  // namespace

std::string program(const std::string& name) {
    return variable("GPCSUP_PROGRAMS") + "/" + name;
}

std::string support_program(const std::string& name) {
    return variable("GPCSUP_SUPPORT") + "/" + name;
}

launch::LaunchRequest request_for(std::vector<std::string> arguments) {
    launch::LaunchRequest request;
    request.executable = arguments.front();
    request.arguments = std::move(arguments);
    request.environment = {"PATH=/usr/sbin:/usr/bin:/sbin:/bin"};
    request.init_pid = getpid();
    return request;
}

Started start_by_agent(const launch::LaunchRequest& request, launch::StartSlots& slots,
                       const std::function<void()>& before) {
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    static std::uint64_t intent = 0;
    Started started;
    const auto slot = slots.acquire(++intent);
    REQUIRE(slot.has_value());
    started.slot = *slot;
    int ends[2];
    REQUIRE(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) == 0);
    const Fd ours(ends[0]);
    Fd theirs(ends[1]);
    const std::string exec_program = program("gpc-exec");
    const auto lane = launch::DescriptorLane::open();
    const pid_t agent = fork();
    if (agent == 0) {
        if (before) {
            before();
        }
        const auto spawned = launch::spawn({request, lane ? &*lane : nullptr, slots, *slot, exec_program});
        send_answer(theirs.get(), {spawned ? spawned->pid : 0, spawned ? 0 : spawned.error().code},
                    spawned ? spawned->pidfd.get() : -1, spawned ? spawned->status.get() : -1);
        _exit(0);
    }
    REQUIRE(agent > 0);
    theirs.reset();
    const AgentAnswer answer = receive_answer(ours.get(), started);
    int status = 0;
    REQUIRE(waitpid(agent, &status, 0) == agent);
    INFO("spawn said " << std::strerror(answer.error));
    REQUIRE(answer.error == 0);
    // The kernel wrote it before the process ran: what recovery relies on.
    REQUIRE(slots.pid(*slot) == started.pid);
    return started;
}

bool readable(int descriptor, std::chrono::milliseconds within) {
    const auto end = std::chrono::steady_clock::now() + within;
    for (;;) {
        const auto left =
            std::chrono::duration_cast<std::chrono::milliseconds>(end - std::chrono::steady_clock::now());
        pollfd ready{descriptor, POLLIN, 0};
        const int count = poll(&ready, 1, left.count() < 0 ? 0 : static_cast<int>(left.count()));
        if (count >= 0 || errno != EINTR) {
            return count > 0;
        }
    }
}

int wait_for_end(const Started& started) {
    REQUIRE(readable(started.pidfd.get(), 60s));
    int status = 0;
    REQUIRE(waitpid(started.pid, &status, 0) == started.pid);
    return status;
}

std::string read_all(const Fd& from) {
    std::string text;
    char buffer[4096];
    for (;;) {
        REQUIRE(readable(from.get(), 300s));
        const ssize_t got = read(from.get(), buffer, sizeof(buffer));
        if (got <= 0) {
            return text;
        }
        text.append(buffer, static_cast<std::size_t>(got));
    }
}

PipeEnds make_pipe() {
    int ends[2];
    REQUIRE(pipe2(ends, O_CLOEXEC) == 0);
    return {Fd(ends[0]), Fd(ends[1])};
}

namespace {

std::string read_proc(const std::string& name) {
    const Fd file(open(("/proc/" + name).c_str(), O_RDONLY | O_CLOEXEC));
    char text[4096];
    const ssize_t got = file ? read(file.get(), text, sizeof(text)) : 0;
    return std::string(text, got > 0 ? static_cast<std::size_t>(got) : 0);
}

struct Stat {
    pid_t session = 0;
    std::uint64_t threads = 0;
};

Stat read_stat(const std::string& pid) {
    const std::string text = read_proc(pid + "/stat");
    const std::size_t name_end = text.rfind(')');
    Stat stat;
    if (name_end != std::string::npos) {
        std::sscanf(text.c_str() + name_end + 2,
                    "%*c %*d %*d %d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %lu", &stat.session,
                    &stat.threads);
    }
    return stat;
}

}  // namespace

SessionCount count_session(pid_t session) {
    SessionCount count;
    DIR* directory = opendir("/proc");
    while (const dirent* entry = readdir(directory)) {
        if (entry->d_name[0] < '0' || entry->d_name[0] > '9') {
            continue;
        }
        if (const Stat stat = read_stat(entry->d_name); stat.session == session) {
            ++count.processes;
            count.tasks += stat.threads;
        }
    }
    closedir(directory);
    return count;
}

SessionCount count_family(pid_t leader) {
    const std::string name = std::to_string(leader);
    SessionCount count{read_stat(name).threads, 1};
    std::istringstream children(read_proc(name + "/task/" + name + "/children"));
    for (std::string child; children >> child;) {
        ++count.processes;
        count.tasks += read_stat(child).threads;
    }
    return count;
}

PidsCgroup::PidsCgroup() {
    const std::string path = "/sys/fs/cgroup/pids/gpcsup-test-" + std::to_string(getpid());
    if (mkdir(path.c_str(), 0755) == 0) {
        if (std::ifstream(path + "/pids.peak").good()) {
            path_ = path;
        } else {
            rmdir(path.c_str());
        }
    }
}

PidsCgroup::~PidsCgroup() {
    if (usable()) {
        rmdir(path_.c_str());
    }
}

void PidsCgroup::add(pid_t pid) const {
    std::ofstream(path_ + "/cgroup.procs") << pid << std::flush;
}

std::uint64_t PidsCgroup::peak() const {
    std::uint64_t value = 0;
    std::ifstream(path_ + "/pids.peak") >> value;
    return value;
}

}  // namespace gpcsup::test
