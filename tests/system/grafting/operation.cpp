#include "system/grafting/operation.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <catch2/catch.hpp>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "launch/filter.h"
#include "wire/keep.h"

namespace gpcsup::test {
namespace {

constexpr std::uint64_t listener_key = 4711;

std::string directory_in(const char* variable, const char* otherwise) {
    const char* value = std::getenv(variable);
    return value == nullptr ? otherwise : value;
}

bool is_fork(int call) {
    return call == SYS_clone || call == SYS_fork || call == SYS_vfork;
}

// Of our own children.
bool may_trace() {
    const pid_t child = fork();
    if (child == 0) {
        pause();
        _exit(0);
    }
    const bool may = ptrace(PTRACE_SEIZE, child, nullptr, nullptr) == 0;
    kill(child, SIGKILL);
    waitpid(child, nullptr, __WALL);
    return may;
}

// After fork: nothing that a thread of ours may hold.
void move_to(int from, int to) {
    if (from == to) {
        fcntl(to, F_SETFD, 0);
    } else {
        dup2(from, to);
    }
}

}  // namespace

std::string program(const std::string& name) {
    return directory_in("GPCSUP_PROGRAMS", "src") + "/" + name;
}

std::string support_program(const std::string& name) {
    return directory_in("GPCSUP_SUPPORT", "tests/support") + "/" + name;
}

bool possible() {
    static const bool may = geteuid() == 0 && may_trace();
    if (!may) {
        WARN("skipped: ptrace is not permitted here, or not root");
    }
    return may;
}

bool readable(int descriptor, std::chrono::milliseconds within) {
    pollfd one{descriptor, POLLIN, 0};
    return poll(&one, 1, static_cast<int>(within.count())) == 1;
}

std::string status_line(pid_t process, pid_t thread, const std::string& name) {
    std::ifstream file("/proc/" + std::to_string(process) + "/task/" + std::to_string(thread) + "/status");
    for (std::string line; std::getline(file, line);) {
        if (line.starts_with(name + ":")) {
            const auto at = line.find_first_not_of(" \t", name.size() + 1);
            return at == std::string::npos ? "" : line.substr(at);
        }
    }
    return "gone";
}

std::vector<pid_t> threads_of(pid_t process) {
    std::vector<pid_t> threads;
    std::error_code gone;
    for (const auto& entry :
         std::filesystem::directory_iterator("/proc/" + std::to_string(process) + "/task", gone)) {
        threads.push_back(std::stoi(entry.path().filename()));
    }
    return threads;
}

int filtered_threads(pid_t process) {
    const auto threads = threads_of(process);
    return static_cast<int>(std::count_if(threads.begin(), threads.end(), [&](pid_t thread) {
        return status_line(process, thread, "Seccomp") == "2";
    }));
}

int listeners_in(pid_t process) {
    int count = 0;
    for (const pid_t thread : threads_of(process)) {
        const std::string path =
            "/proc/" + std::to_string(process) + "/task/" + std::to_string(thread) + "/fd";
        std::error_code gone;
        for (const auto& entry : std::filesystem::directory_iterator(path, gone)) {
            std::error_code error;
            count +=
                std::filesystem::read_symlink(entry.path(), error) == "anon_inode:seccomp notify" ? 1 : 0;
        }
    }
    return count;
}

// --- the victim

Victim::Victim(std::vector<std::string> roles, const Options& options) {
    int in[2];
    int out[2];
    REQUIRE(pipe2(in, O_CLOEXEC) == 0);
    REQUIRE(pipe2(out, O_CLOEXEC) == 0);
    const std::string executable =
        options.executable.empty() ? support_program("graftee") : options.executable;
    std::vector<char*> arguments = {const_cast<char*>("graftee")};
    for (std::string& role : roles) {
        arguments.push_back(role.data());
    }
    arguments.push_back(nullptr);
    pid_ = fork();
    if (pid_ == 0) {
        dup2(in[0], STDIN_FILENO);
        dup2(out[1], STDOUT_FILENO);
        if (options.user) {
            (void)!setresgid(*options.user, *options.user, *options.user);
            (void)!setresuid(*options.user, *options.user, *options.user);
        }
        if (options.promise == Options::Promise::made) {
            prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
        }
        execv(executable.c_str(), arguments.data());
        _exit(126);
    }
    close(in[0]);
    close(out[1]);
    input_.reset(in[1]);
    output_.reset(out[0]);
    if (options.executable.empty()) {
        REQUIRE(hear() == "ready");
    }
}

Victim::~Victim() {
    if (pid_ > 0) {
        kill(pid_, SIGKILL);
        waitpid(pid_, nullptr, __WALL);
    }
}

std::uint64_t Victim::start_time() const {
    std::ifstream file("/proc/" + std::to_string(pid_) + "/stat");
    std::string text;
    std::getline(file, text);
    std::size_t at = text.rfind(')');
    for (int field = 2; at != std::string::npos && field < 22; ++field) {
        at = text.find(' ', at + 1);
    }
    return at == std::string::npos ? 0 : std::stoull(text.substr(at + 1));
}

void Victim::tell(char letter) const {
    REQUIRE(write(input_.get(), &letter, 1) == 1);
}

std::string Victim::ask(char letter) {
    tell(letter);
    return hear();
}

std::string Victim::hear(std::chrono::milliseconds within) {
    const auto until = std::chrono::steady_clock::now() + within;
    for (std::size_t end = buffer_.find('\n'); end == std::string::npos; end = buffer_.find('\n')) {
        const auto left =
            std::chrono::duration_cast<std::chrono::milliseconds>(until - std::chrono::steady_clock::now());
        char piece[256];
        if (left.count() <= 0 || !readable(output_.get(), left)) {
            return "silent";
        }
        const ssize_t got = read(output_.get(), piece, sizeof(piece));
        if (got <= 0) {
            return "ended";
        }
        buffer_.append(piece, static_cast<std::size_t>(got));
    }
    const std::size_t end = buffer_.find('\n');
    std::string line = buffer_.substr(0, end);
    buffer_.erase(0, end + 1);
    return line;
}

// --- gpc-init and gpc-enforce

Keeper::Keeper() : stop_(eventfd(0, EFD_CLOEXEC)) {
    int ends[2];
    REQUIRE(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) == 0);
    ours_.reset(ends[0]);
    theirs_.reset(ends[1]);
    thread_ = std::thread([this] { run(); });
}

Keeper::~Keeper() {
    const std::uint64_t one = 1;
    (void)!write(stop_.get(), &one, sizeof(one));
    thread_.join();
}

void Keeper::forget() {
    forget_ = 1;
    const std::uint64_t one = 1;
    (void)!write(stop_.get(), &one, sizeof(one));
    while (forget_ != 0) {
        std::this_thread::yield();
    }
}

void Keeper::run() {
    for (;;) {
        std::vector<pollfd> all = {{stop_.get(), POLLIN, 0}, {ours_.get(), POLLIN, 0}};
        for (const Fd& listener : listeners_) {
            all.push_back({listener.get(), POLLIN, 0});
        }
        poll(all.data(), all.size(), -1);
        if (all[0].revents != 0) {
            if (forget_ == 0) {
                return;
            }
            std::uint64_t count = 0;
            (void)!read(stop_.get(), &count, sizeof(count));
            listeners_.clear();
            forget_ = 0;
            continue;
        }
        for (std::size_t at = 2; at < all.size(); ++at) {
            if ((all[at].revents & POLLIN) != 0) {
                answer(all[at].fd);
            } else if (all[at].revents != 0) {
                std::erase_if(listeners_, [&](const Fd& one) { return one.get() == all[at].fd; });
            }
        }
        if (all[1].revents != 0) {
            hear();
        }
    }
}

void Keeper::hear() {
    wire::HandoverMessage message;
    iovec part{&message, sizeof(message)};
    alignas(cmsghdr) char control[CMSG_SPACE(2 * sizeof(int))];
    msghdr envelope{};
    envelope.msg_iov = &part;
    envelope.msg_iovlen = 1;
    envelope.msg_control = control;
    envelope.msg_controllen = sizeof(control);
    if (recvmsg(ours_.get(), &envelope, MSG_DONTWAIT | MSG_CMSG_CLOEXEC) != sizeof(message)) {
        return;
    }
    int passed[2] = {-1, -1};
    const cmsghdr* header = CMSG_FIRSTHDR(&envelope);
    if (header == nullptr) {
        return;
    }
    std::memcpy(passed, CMSG_DATA(header), sizeof(passed));
    if (message.listener_key == listener_key) {
        listeners_.emplace_back(passed[0]);
        ++handed_over_;
        (void)!write(passed[1], "k", 1);
    }
    close(passed[1]);
}

void Keeper::answer(int listener) const {
    seccomp_notif notification{};
    if (ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &notification) != 0) {
        return;
    }
    seccomp_notif_resp response{};
    response.id = notification.id;
    const bool fork = is_fork(notification.data.nr);
    trapped_ += fork ? 1 : 0;
    if (fork && refuse_ != 0) {
        response.error = -refuse_;
    } else {
        response.flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE;
    }
    ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &response);
}

// --- gpc-graft

Helper start_graft(const Victim& victim, const Keeper& keeper, wire::GraftMode mode, Filter filter,
                   std::chrono::milliseconds timeout, const std::function<void()>& before) {
    using wire::TrapClass;
    const std::vector<TrapClass> classes = filter == Filter::tasks
                                               ? std::vector{TrapClass::task}
                                               : std::vector{TrapClass::task, TrapClass::file};
    const auto built = launch::build_filter(classes, launch::Execution::trapped);
    REQUIRE(built);
    static wire::GraftRequest request;
    request = {};
    request.mode = mode;
    request.pid = victim.pid();
    request.timeout_ms = static_cast<std::uint32_t>(timeout.count());
    request.start_time = victim.start_time();
    request.listener_key = listener_key;
    request.filter_count = static_cast<std::uint32_t>(built->size());
    std::copy(built->begin(), built->end(), request.filter);

    int ends[2];
    REQUIRE(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) == 0);
    Helper helper;
    helper.socket.reset(ends[0]);
    const Fd theirs(fcntl(ends[1], F_DUPFD_CLOEXEC, 10));
    close(ends[1]);
    REQUIRE(send(helper.socket.get(), &request, wire::size_of_graft(request.filter_count), 0) > 0);
    const std::string path = program("gpc-graft");
    helper.pid = fork();
    if (helper.pid == 0) {
        const int handover = fcntl(keeper.theirs(), F_DUPFD, 11);
        move_to(theirs.get(), wire::graft_socket);
        move_to(handover, wire::graft_handover);
        if (before) {
            before();
        }
        execl(path.c_str(), "gpc-graft", nullptr);
        _exit(126);
    }
    return helper;
}

std::optional<wire::GraftAnswer> await_answer(Helper& helper, std::chrono::milliseconds within) {
    wire::GraftAnswer answer;
    std::optional<wire::GraftAnswer> result;
    if (readable(helper.socket.get(), within) &&
        recv(helper.socket.get(), &answer, sizeof(answer), MSG_DONTWAIT) == sizeof(answer)) {
        result = answer;
    }
    kill(helper.pid, SIGKILL);
    waitpid(helper.pid, nullptr, __WALL);
    helper.pid = -1;
    return result;
}

wire::GraftAnswer graft(const Victim& victim, const Keeper& keeper, wire::GraftMode mode, Filter filter,
                        std::chrono::milliseconds timeout) {
    Helper helper = start_graft(victim, keeper, mode, filter, timeout);
    const auto answer = await_answer(helper);
    REQUIRE(answer);
    return *answer;
}

}  // namespace gpcsup::test
