#include "sys/proc_files.h"

#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstdio>
#include <cstring>
#include <memory>

namespace gpcsup::sys {
namespace {

constexpr std::size_t small_file = 4096;
constexpr std::size_t large_file = std::size_t{128} * 1024;

struct PathBuffer {
    char text[64];
};

PathBuffer proc_path(pid_t pid, const char* file) {
    PathBuffer path{};
    std::snprintf(path.text, sizeof path.text, "%d/%s", static_cast<int>(pid), file);
    return path;
}

// A process that goes between open and read gives ESRCH, one that is not there ENOENT: the same to every
// caller.
int plain_errno(int code) {
    return code == ENOENT ? ESRCH : code;
}

}  // namespace

base::Result<RealProcFiles> RealProcFiles::open() {
    base::Fd root(::open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC));
    if (!root) {
        return base::fail(errno, "open", "/proc");
    }
    return RealProcFiles(std::move(root));
}

base::Result<std::string> RealProcFiles::read(const char* path, std::size_t limit) const {
    const base::Fd file(::openat(root_.get(), path, O_RDONLY | O_CLOEXEC));
    if (!file) {
        return base::fail(plain_errno(errno), "open", std::string("/proc/") + path);
    }
    // Most files fit into one read; the end of the others is known by a read of nothing.
    char first[small_file];
    std::string text;
    for (;;) {
        const ssize_t count = ::read(file.get(), first, sizeof first);
        if (count < 0) {
            if (errno == EINTR) {
                continue;
            }
            return base::fail(plain_errno(errno), "read", std::string("/proc/") + path);
        }
        text.append(first, static_cast<std::size_t>(count));
        if (static_cast<std::size_t>(count) < 1024 || text.size() >= limit) {
            return text;
        }
    }
}

base::Result<ProcStat> RealProcFiles::stat(pid_t pid) {
    const auto path = proc_path(pid, "stat");
    auto text = read(path.text, small_file);
    if (!text) {
        return base::pass(text);
    }
    return parse_stat(*text);
}

base::Result<std::vector<pid_t>> RealProcFiles::tasks(pid_t pid) {
    const auto path = proc_path(pid, "task");
    base::Fd directory(::openat(root_.get(), path.text, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!directory) {
        return base::fail(plain_errno(errno), "open", std::string("/proc/") + path.text);
    }
    struct Close {
        void operator()(DIR* stream) const { ::closedir(stream); }
    };
    const std::unique_ptr<DIR, Close> stream(::fdopendir(directory.get()));
    if (!stream) {
        return base::fail(errno, "read", std::string("/proc/") + path.text);
    }
    (void)directory.release();
    std::vector<pid_t> tasks;
    while (const dirent* entry = ::readdir(stream.get())) {
        pid_t task = 0;
        const char* end = entry->d_name + std::strlen(entry->d_name);
        if (std::from_chars(entry->d_name, end, task).ptr == end && task > 0) {
            tasks.push_back(task);
        }
    }
    if (tasks.empty()) {
        return base::fail(ESRCH, "read", std::string("/proc/") + path.text);
    }
    return tasks;
}

base::Result<std::vector<pid_t>> RealProcFiles::children(pid_t pid) {
    auto threads = tasks(pid);
    if (!threads) {
        return base::pass(threads);
    }
    std::vector<pid_t> all;
    for (const pid_t thread : *threads) {
        char file[48];
        std::snprintf(file, sizeof file, "task/%d/children", static_cast<int>(thread));
        auto text = read(proc_path(pid, file).text, large_file);
        if (!text) {
            if (text.error().code == ESRCH) {
                continue;  // this thread has ended; its children went to another one of the process
            }
            return base::pass(text);
        }
        auto some = parse_children(*text);
        if (!some) {
            return base::pass(some);
        }
        all.insert(all.end(), some->begin(), some->end());
    }
    return all;
}

base::Result<std::string> RealProcFiles::environ(pid_t pid) {
    return read(proc_path(pid, "environ").text, large_file);
}

base::Result<std::string> RealProcFiles::status(pid_t pid) {
    return read(proc_path(pid, "status").text, small_file);
}

base::Result<std::string> RealProcFiles::command_line(pid_t pid) {
    return read(proc_path(pid, "cmdline").text, large_file);
}

base::Result<std::string> RealProcFiles::executable(pid_t pid) {
    const auto path = proc_path(pid, "exe");
    std::string file(4096, '\0');
    const ssize_t length = ::readlinkat(root_.get(), path.text, file.data(), file.size());
    if (length < 0) {
        return base::fail(plain_errno(errno), "read", std::string("/proc/") + path.text);
    }
    file.resize(static_cast<std::size_t>(length));
    if (file.ends_with(" (deleted)")) {  // replaced by an upgrade since: still what it was started as
        file.resize(file.size() - 10);
    }
    return file;
}

base::Result<std::uint64_t> start_time(ProcFiles& files, pid_t pid) {
    auto stat = files.stat(pid);
    if (!stat) {
        return base::pass(stat);
    }
    return stat->start_time;
}

base::Result<base::ProcessId> identify(ProcFiles& files, pid_t pid) {
    auto stat = files.stat(pid);
    if (!stat) {
        return base::pass(stat);
    }
    return stat->id();
}

bool is_running(ProcFiles& files, const base::ThreadId& thread) {
    const auto stat = files.stat(thread.tid);
    return stat && stat->start_time == thread.start_time && stat->state != 'Z' && stat->state != 'X';
}

// The thread is looked at again at the end: what was read in between is then this one's.
char state_of_threads(ProcFiles& files, const ProcStat& stat) {
    const auto threads = files.tasks(stat.pid);
    char state = stat.state;
    for (const pid_t thread : threads.value_or(std::vector<pid_t>{})) {
        const auto one = files.stat(thread);
        if (!one || one->state == 'Z' || one->state == 'X') {
            continue;
        }
        if (!is_stopped(one->state)) {
            return one->state;
        }
        state = one->state;
    }
    return state;
}

char living_state(ProcFiles& files, const ProcStat& stat) {
    const bool leader_lives = stat.state != 'Z' && stat.state != 'X';
    return leader_lives || stat.ended() ? stat.state : state_of_threads(files, stat);
}

base::Result<base::ThreadId> identify_thread(ProcFiles& files, pid_t tid) {
    const auto begin = start_time(files, tid);
    const auto text = files.status(tid);
    const pid_t pid = text ? process_of(*text) : 0;
    const auto process = identify(files, pid);
    const base::ThreadId thread{process.value_or(base::ProcessId{}), tid, begin.value_or(0)};
    if (!begin || !process || !is_running(files, thread)) {
        return base::fail(ESRCH, "find", "thread " + std::to_string(tid));
    }
    return thread;
}

}  // namespace gpcsup::sys
