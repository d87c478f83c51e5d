#include "exec/graft/process.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include <dirent.h>
#include <fcntl.h>
#include <linux/kcmp.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "exec/graft/trampoline.h"

#ifndef PIDFD_THREAD
#define PIDFD_THREAD O_EXCL
#endif

namespace gpcsup::exec {
namespace {

constexpr char listener_name[] = "anon_inode:seccomp notify";
constexpr unsigned capability_of_administrators = 21;  // CAP_SYS_ADMIN

struct Text {
    ssize_t length = -1;
    char bytes[4096];
};

Text read_text(const char* path) {
    Text text;
    const Descriptor file(open(path, O_RDONLY | O_CLOEXEC));
    if (file) {
        text.length = read(file.get(), text.bytes, sizeof(text.bytes) - 1);
    }
    text.bytes[text.length < 0 ? 0 : text.length] = '\0';
    return text;
}

struct Path {
    char text[96];
};

Path path_of(pid_t process, pid_t thread, const char* name) {
    Path path;
    std::snprintf(path.text, sizeof(path.text), "/proc/%d/task/%d/%s", process, thread, name);
    return path;
}

Path path_of(pid_t process, const char* name) {
    Path path;
    std::snprintf(path.text, sizeof(path.text), "/proc/%d/%s", process, name);
    return path;
}

std::uint64_t field(const char* text, const char* name, int base) {
    const char* at = std::strstr(text, name);
    return at == nullptr ? 0 : std::strtoull(at + std::strlen(name), nullptr, base);
}

// Behind the name, which may have anything in it.
const char* behind_name(const Text& stat) {
    const char* end = std::strrchr(stat.bytes, ')');
    return end == nullptr || end[1] == '\0' ? nullptr : end + 2;
}

// "running", or the call's number and its arguments, or -1 and two addresses for one that is stopped on its
// own instructions.
Rank rank_by_call(pid_t process, pid_t thread) {
    const Text text = read_text(path_of(process, thread, "syscall").text);
    if (text.length <= 0) {
        return Rank::unfit;
    }
    if (std::strncmp(text.bytes, "running", 7) == 0) {
        return Rank::free;
    }
    char* rest = nullptr;
    Call call;
    call.number = std::strtol(text.bytes, &rest, 10);
    for (std::uint64_t& argument : call.arguments) {
        argument = std::strtoull(rest, &rest, 16);
    }
    return rank_of(call);
}

// By the name that the kernel gives to what a link below /proc/…/fd leads to.
Is look_at(const char* link) {
    char target[sizeof(listener_name) + 1];
    const ssize_t length = readlink(link, target, sizeof(target));
    const bool same = length == sizeof(listener_name) - 1 &&
                      std::memcmp(target, listener_name, sizeof(listener_name) - 1) == 0;
    return same ? Is::listener : Is::something_else;
}

class Directory {
  public:
    explicit Directory(const char* path) : stream_(opendir(path)) {}
    ~Directory() {
        if (stream_ != nullptr) {
            closedir(stream_);
        }
    }
    Directory(const Directory&) = delete;
    Directory& operator=(const Directory&) = delete;
    [[nodiscard]] explicit operator bool() const { return stream_ != nullptr; }
    // The next name that is a number; -1 = there is none any more.
    int next() {
        while (const dirent* entry = readdir(stream_)) {
            if (entry->d_name[0] >= '0' && entry->d_name[0] <= '9') {
                return std::atoi(entry->d_name);
            }
        }
        return -1;
    }

  private:
    DIR* stream_;
};

}  // namespace

Descriptor::~Descriptor() {
    if (number_ >= 0) {
        close(number_);
    }
}

Descriptor& Descriptor::operator=(Descriptor&& other) noexcept {
    if (this != &other) {
        if (number_ >= 0) {
            close(number_);
        }
        number_ = other.release();
    }
    return *this;
}

int Descriptor::release() {
    const int number = number_;
    number_ = -1;
    return number;
}

bool is_capable(const ThreadStatus& status) {
    return (status.effective >> capability_of_administrators & 1) != 0;
}

ThreadStatus read_status(pid_t process, pid_t thread) {
    ThreadStatus status;
    const Text text = read_text(path_of(process, thread, "status").text);
    const char* state = std::strstr(text.bytes, "\nState:\t");
    if (text.length <= 0 || state == nullptr) {
        return status;
    }
    status.read = ThreadStatus::Read::yes;
    status.state = state[8];
    status.tracer = static_cast<std::int32_t>(field(text.bytes, "\nTracerPid:", 10));
    status.seccomp = static_cast<std::uint32_t>(field(text.bytes, "\nSeccomp:", 10));
    status.no_new_privs = static_cast<std::uint32_t>(field(text.bytes, "\nNoNewPrivs:", 10));
    status.effective = field(text.bytes, "\nCapEff:", 16);
    status.pending = (field(text.bytes, "\nSigPnd:", 16) | field(text.bytes, "\nShdPnd:", 16)) &
                     ~field(text.bytes, "\nSigBlk:", 16);
    return status;
}

std::size_t read_threads(pid_t process, Thread (&threads)[most_threads]) {
    Directory tasks(path_of(process, "task").text);
    std::size_t count = 0;
    for (int tid = tasks ? tasks.next() : -1; tid > 0 && count < most_threads; tid = tasks.next()) {
        const ThreadStatus status = read_status(process, tid);
        if (status.read == ThreadStatus::Read::no) {
            continue;
        }
        Thread& thread = threads[count++];
        thread = {};
        thread.tid = tid;
        thread.tracer = status.tracer;
        thread.filter = status.seccomp == 0 ? FilterMode::none : FilterMode::some;
        thread.promise = status.no_new_privs == 0 ? Promise::none : Promise::made;
        thread.capable = is_capable(status);
        thread.ended = status.state == 'Z' || status.state == 'X';
        thread.rank = thread.ended ? Rank::unfit : rank_by_call(process, tid);
    }
    return count;
}

std::uint64_t read_start_time(pid_t process) {
    constexpr int fields_before = 19;  // between the name and the 22nd
    const Text stat = read_text(path_of(process, "stat").text);
    const char* at = stat.length <= 0 ? nullptr : behind_name(stat);
    for (int passed = 0; at != nullptr && passed < fields_before; ++passed) {
        at = std::strchr(at, ' ');
        at = at == nullptr ? nullptr : at + 1;
    }
    return at == nullptr ? 0 : std::strtoull(at, nullptr, 10);
}

Abi read_abi(pid_t process) {
    const Descriptor file(open(path_of(process, "exe").text, O_RDONLY | O_CLOEXEC));
    std::uint8_t head[64];
    const ssize_t got = file ? read(file.get(), head, sizeof(head)) : 0;
    return abi_of({head, static_cast<std::size_t>(got < 0 ? 0 : got)});
}

Room find_room_in(pid_t process, pid_t thread) {
    constexpr std::size_t largest = 32768;
    static std::uint8_t image[largest];
    std::FILE* maps = std::fopen(path_of(process, thread, "maps").text, "re");
    if (maps == nullptr) {
        return {};
    }
    char line[512];
    std::uint64_t begin = 0;
    std::uint64_t end = 0;
    while (end == 0 && std::fgets(line, sizeof(line), maps) != nullptr) {
        if (std::strstr(line, "r-xp") != nullptr && std::strstr(line, "[vdso]") != nullptr) {
            char* rest = nullptr;
            begin = std::strtoull(line, &rest, 16);
            end = std::strtoull(rest + 1, nullptr, 16);
        }
    }
    (void)std::fclose(maps);
    const std::size_t size = end - begin;
    if (end == 0 || size > largest) {
        return {};
    }
    const iovec here{image, size};
    const iovec there{reinterpret_cast<void*>(begin), size};
    if (process_vm_readv(thread, &here, 1, &there, 1, 0) != static_cast<ssize_t>(size)) {
        return {};
    }
    const std::size_t offset = find_room(image, size);
    return {offset == size ? 0 : begin + offset};
}

int look_allowed(pid_t process) {
    const Descriptor file(open(path_of(process, "syscall").text, O_RDONLY | O_CLOEXEC));
    char byte = 0;
    return file && read(file.get(), &byte, 1) >= 0 ? 0 : errno;
}

Copy compare(pid_t thread, int number, const Descriptor& own) {
    return syscall(SYS_kcmp, thread, getpid(), KCMP_FILE, number, own.get()) == 0 ? Copy::yes : Copy::no;
}

int find_listener(pid_t process, pid_t thread, int from) {
    const Path path = path_of(process, thread, "fd");
    Directory descriptors(path.text);
    if (!descriptors) {
        return not_to_be_seen;
    }
    int lowest = none_there;
    for (int number = descriptors.next(); number >= 0; number = descriptors.next()) {
        char link[120];
        std::snprintf(link, sizeof(link), "%s/%d", path.text, number);
        if (look_at(link) == Is::listener && number >= from && (lowest < 0 || number < lowest)) {
            lowest = number;
        }
    }
    return lowest;
}

Is look_at(const Descriptor& own) {
    char link[40];
    std::snprintf(link, sizeof(link), "/proc/self/fd/%d", own.get());
    return look_at(link);
}

std::size_t read_descendants(pid_t process, pid_t (&descendants)[most_relatives]) {
    std::size_t count = 0;
    std::size_t looked_at = 0;
    for (pid_t parent = process; count < most_relatives; parent = descendants[looked_at++]) {
        Directory tasks(path_of(parent, "task").text);
        for (int tid = tasks ? tasks.next() : -1; tid > 0; tid = tasks.next()) {
            const Text text = read_text(path_of(parent, tid, "children").text);
            for (char* at = const_cast<char*>(text.bytes); text.length > 0 && count < most_relatives;) {
                const long child = std::strtol(at, &at, 10);
                if (child <= 0 || *at != ' ') {  // the last one may be cut off
                    break;
                }
                descendants[count++] = static_cast<pid_t>(child);
            }
        }
        if (looked_at == count) {
            break;
        }
    }
    return count;
}

Descriptor open_thread(pid_t process, pid_t thread) {
    Descriptor itself(static_cast<int>(syscall(SYS_pidfd_open, thread, PIDFD_THREAD)));
    if (itself || errno != EINVAL) {
        return itself;
    }
    if (process != thread && syscall(SYS_kcmp, process, thread, KCMP_FILES, 0, 0) != 0) {
        return Descriptor();
    }
    return Descriptor(static_cast<int>(syscall(SYS_pidfd_open, process, 0)));
}

}  // namespace gpcsup::exec
