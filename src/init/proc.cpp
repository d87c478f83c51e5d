#include "init/proc.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace gpcsup::init {

namespace {

struct KernelEntry {  // struct linux_dirent64
    std::uint64_t inode;
    std::int64_t offset;
    std::uint16_t length;
    std::uint8_t type;
    char name[1];
};

}  // namespace

const char* DirectoryReader::next() {
    for (;;) {
        if (at_ >= filled_) {
            long length = syscall(SYS_getdents64, directory_, buffer_, sizeof buffer_);
            if (length <= 0) {
                return nullptr;
            }
            at_ = 0;
            filled_ = static_cast<std::size_t>(length);
        }
        const char* start = buffer_ + at_;
        std::uint16_t length = 0;
        memcpy(&length, start + offsetof(KernelEntry, length), sizeof length);
        at_ += length;
        const char* name = start + offsetof(KernelEntry, name);
        if (strcmp(name, ".") != 0 && strcmp(name, "..") != 0) {
            return name;
        }
    }
}

ssize_t read_file(const char* path, char* to, std::size_t size) {
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0) {
        return -1;
    }
    std::size_t used = 0;
    while (used + 1 < size) {
        ssize_t length = read(file, to + used, size - 1 - used);
        if (length < 0 && errno == EINTR) {
            continue;
        }
        if (length <= 0) {
            break;
        }
        used += static_cast<std::size_t>(length);
    }
    to[used] = '\0';
    close(file);
    return static_cast<ssize_t>(used);
}

ProcessLine read_process(pid_t pid) {
    ProcessLine line;
    char path[32];
    char text[1024];
    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    if (read_file(path, text, sizeof text) <= 0) {
        return line;
    }
    // pid (name) state ppid …: the name may hold anything, so count from its last parenthesis. start_time is
    // field 22.
    const char* place = strrchr(text, ')');
    if (place == nullptr || strlen(place) < 4) {
        return line;
    }
    line.pid = pid;
    line.parent = static_cast<pid_t>(atoi(place + 4));
    place += 2;
    for (int field = 3; field < 22 && place != nullptr; ++field) {
        place = strchr(place, ' ');
        place = place != nullptr ? place + 1 : nullptr;
        if (field + 1 == 6 && place != nullptr) {
            line.session = static_cast<pid_t>(atoi(place));
        }
    }
    line.start_time = place != nullptr ? strtoull(place, nullptr, 10) : 0;
    return line;
}

namespace {

// One look at /proc. Only touched (and so only costs memory) when everything is to be killed.
struct Sweep {
    static constexpr unsigned capacity = 32768;
    ProcessLine lines[capacity];
    bool below[capacity];  // a descendant
    unsigned count;
};

constinit Sweep sweep{};  // untouched until then

void take_sweep() {
    sweep.count = 0;
    int directory = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (directory < 0) {
        return;
    }
    DirectoryReader reader(directory);
    while (const char* name = reader.next()) {
        if (*name < '0' || *name > '9' || sweep.count == Sweep::capacity) {
            continue;
        }
        ProcessLine line = read_process(static_cast<pid_t>(atoi(name)));
        if (line.pid != 0) {
            sweep.below[sweep.count] = false;
            sweep.lines[sweep.count++] = line;  // the kernel lists them by number
        }
    }
    close(directory);
}

unsigned index_of(pid_t pid) {
    unsigned low = 0;
    unsigned high = sweep.count;
    while (low < high) {
        unsigned middle = (low + high) / 2;
        if (sweep.lines[middle].pid < pid) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low < sweep.count && sweep.lines[low].pid == pid ? low : Sweep::capacity;
}

void mark_descendants() {
    const pid_t self = getpid();
    for (bool changed = true; changed;) {
        changed = false;
        for (unsigned i = 0; i < sweep.count; ++i) {
            if (sweep.below[i]) {
                continue;
            }
            unsigned parent = index_of(sweep.lines[i].parent);
            if (sweep.lines[i].parent == self || (parent != Sweep::capacity && sweep.below[parent])) {
                sweep.below[i] = true;
                changed = true;
            }
        }
    }
}

// A pid is only a number: the process is held by a pidfd first and must still be the one that was listed.
void signal_process(const ProcessLine& line, int signal_number) {
    int pidfd = static_cast<int>(syscall(SYS_pidfd_open, line.pid, 0));
    if (pidfd < 0) {
        return;
    }
    if (read_process(line.pid).start_time == line.start_time) {
        syscall(SYS_pidfd_send_signal, pidfd, signal_number, nullptr, 0);
    }
    close(pidfd);
}

unsigned signal_descendants(int signal_number) {
    take_sweep();
    mark_descendants();
    unsigned count = 0;
    for (unsigned i = 0; i < sweep.count; ++i) {
        if (sweep.below[i]) {
            signal_process(sweep.lines[i], signal_number);
            ++count;
        }
    }
    return count;
}

Emptied reap_all() {
    for (;;) {
        pid_t pid = static_cast<pid_t>(waitpid(-1, nullptr, WNOHANG | __WALL));
        if (pid == 0) {
            return Emptied::no;
        }
        if (pid < 0 && errno != EINTR) {
            return Emptied::yes;
        }
    }
}

// Waits for SIGCHLD, which is blocked, at most for a moment: a stranger's child becomes ours without a
// signal.
void await_child() {
    sigset_t child;
    sigemptyset(&child);
    sigaddset(&child, SIGCHLD);
    timespec moment = to_timespec(20 * millisecond);
    sigtimedwait(&child, nullptr, &moment);
}

}  // namespace

Emptied kill_descendants(Nanoseconds deadline) {
    while (now() < deadline) {
        constexpr int most_rounds = 10;
        unsigned before = 0;
        for (int round = 0; round < most_rounds; ++round) {
            unsigned count = signal_descendants(SIGSTOP);
            if (count == before) {
                break;
            }
            before = count;
        }
        signal_descendants(SIGKILL);
        await_child();
        if (reap_all() == Emptied::yes) {
            return Emptied::yes;
        }
    }
    return reap_all();
}

}  // namespace gpcsup::init
