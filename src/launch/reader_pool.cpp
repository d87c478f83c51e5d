#include "launch/reader_pool.h"

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <utility>

#include <spawn.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

namespace gpcsup::launch {
namespace {

constexpr std::size_t warm_readers = 2;
constexpr std::size_t max_waiting = 512;  // as many as can be parked
constexpr std::chrono::milliseconds patience{50};

enum class Reaped { yes, not_yet };

Reaped reap(const base::Fd& pidfd) {
    siginfo_t information{};
    const int result = waitid(P_PIDFD, static_cast<id_t>(pidfd.get()), &information, WEXITED | WNOHANG);
    return result != 0 || information.si_pid != 0 ? Reaped::yes : Reaped::not_yet;
}

void kill_process(const base::Fd& pidfd) {
    syscall(SYS_pidfd_send_signal, pidfd.get(), SIGKILL, nullptr, 0);
}

class SpawnActions {
  public:
    SpawnActions() {
        posix_spawn_file_actions_init(&actions);
        posix_spawnattr_init(&attributes);
    }
    ~SpawnActions() {
        posix_spawn_file_actions_destroy(&actions);
        posix_spawnattr_destroy(&attributes);
    }
    SpawnActions(const SpawnActions&) = delete;
    SpawnActions& operator=(const SpawnActions&) = delete;
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
};

}  // namespace

ReaderPool::~ReaderPool() {
    for (Reader& reader : readers_) {
        kill_process(reader.pidfd);
        dying_.push_back(std::move(reader.pidfd));
    }
    for (const base::Fd& pidfd : dying_) {
        siginfo_t information{};  // killed and killable: this ends
        waitid(P_PIDFD, static_cast<id_t>(pidfd.get()), &information, WEXITED);
    }
}

base::Result<ReaderPool::Reader> ReaderPool::start() const {
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) {
        return base::fail(errno, "make a socket for", program_);
    }
    Reader reader;
    reader.socket.reset(ends[0]);
    base::Fd theirs(ends[1]);
    if (theirs.get() == wire::reader_socket) {  // dup2 onto itself would leave it close-on-exec
        theirs.reset(dup(theirs.get()));
    }
    SpawnActions spawn;
    posix_spawn_file_actions_adddup2(&spawn.actions, theirs.get(), wire::reader_socket);
    sigset_t signals;
    sigemptyset(&signals);
    posix_spawnattr_setsigmask(&spawn.attributes, &signals);
    posix_spawnattr_setflags(&spawn.attributes, POSIX_SPAWN_SETSIGMASK);
    char name[] = "gpc-reader";
    char* const arguments[] = {name, nullptr};
    char* const environment[] = {nullptr};
    pid_t pid = 0;
    const int error =
        posix_spawn(&pid, program_.c_str(), &spawn.actions, &spawn.attributes, arguments, environment);
    if (error != 0) {
        return base::fail(error, "start", program_);
    }
    reader.pidfd.reset(
        static_cast<int>(syscall(SYS_pidfd_open, pid, 0)));  // our own child: the number is its own
    return reader;
}

base::Result<> ReaderPool::warm_up() {
    while (readers_.size() < warm_readers) {
        auto started = start();
        if (!started) {
            return base::pass(started);
        }
        readers_.push_back(std::move(*started));
    }
    return {};
}

void ReaderPool::read(const wire::ReadRequest& request, Done done) {
    if (waiting_.size() >= max_waiting) {
        done(base::fail(EBUSY, "read the memory of", "thread " + std::to_string(request.tid)));
        return;
    }
    waiting_.push_back({request, std::move(done)});
    dispatch();
}

void ReaderPool::dispatch() {
    if (const auto warm = warm_up(); !warm && readers_.empty()) {
        for (Job& job : std::exchange(waiting_, {})) {
            job.done(base::fail(ECHILD, "start", program_));
        }
        return;
    }
    for (Reader& reader : readers_) {
        if (!reader.job && !waiting_.empty()) {
            Job job = std::move(waiting_.front());
            waiting_.pop_front();
            give(reader, std::move(job));
        }
    }
}

void ReaderPool::give(Reader& reader, Job job) {
    job.request.id = next_id_++;
    // A reader that died shows at its socket's end of file; the deadline covers the rest.
    static_cast<void>(
        send(reader.socket.get(), &job.request, sizeof(job.request), MSG_DONTWAIT | MSG_NOSIGNAL));
    reader.job = std::move(job);
    reader.due = std::chrono::steady_clock::now() + patience;
}

std::vector<int> ReaderPool::descriptors() const {
    std::vector<int> all;
    all.reserve(readers_.size() + dying_.size());
    for (const Reader& reader : readers_) {
        all.push_back(reader.socket.get());
    }
    for (const base::Fd& pidfd : dying_) {
        all.push_back(pidfd.get());
    }
    return all;
}

void ReaderPool::on_readable(int descriptor) {
    std::erase_if(dying_, [&](const base::Fd& pidfd) {
        return pidfd.get() == descriptor && reap(pidfd) == Reaped::yes;
    });
    for (Reader& reader : readers_) {
        if (reader.socket.get() == descriptor) {
            receive(reader);
            break;
        }
    }
    dispatch();
}

void ReaderPool::receive(Reader& reader) {
    wire::ReadAnswer answer;
    const ssize_t got = recv(reader.socket.get(), &answer, sizeof(answer), MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
        return;
    }
    if (got != static_cast<ssize_t>(sizeof(answer))) {
        dismiss(reader, ECHILD);
        return;
    }
    if (!reader.job || reader.job->request.id != answer.id) {
        return;
    }
    const Job job = *std::exchange(reader.job, std::nullopt);
    if (answer.error != 0) {
        job.done(base::fail(answer.error, "read the memory of", "thread " + std::to_string(job.request.tid)));
        return;
    }
    const auto length = std::min<std::size_t>(answer.length, sizeof(answer.data));
    job.done(std::vector<std::uint8_t>(answer.data, answer.data + length));
}

// Kills the reader, fails its job, and leaves its place to a new one.
void ReaderPool::dismiss(Reader& reader, int error) {
    kill_process(reader.pidfd);
    dying_.push_back(std::move(reader.pidfd));
    const std::optional<Job> job = std::exchange(reader.job, std::nullopt);
    std::erase_if(readers_, [&](const Reader& other) { return &other == &reader; });
    if (job) {
        job->done(base::fail(error, "read the memory of", "thread " + std::to_string(job->request.tid)));
    }
}

std::optional<Moment> ReaderPool::deadline() const {
    std::optional<Moment> first;
    for (const Reader& reader : readers_) {
        if (reader.job && (!first || reader.due < *first)) {
            first = reader.due;
        }
    }
    return first;
}

void ReaderPool::on_deadline(Moment now) {
    for (std::size_t i = 0; i < readers_.size();) {
        if (readers_[i].job && readers_[i].due <= now) {
            dismiss(readers_[i], EFAULT);
            i = 0;
        } else {
            ++i;
        }
    }
    dispatch();
}

}  // namespace gpcsup::launch
