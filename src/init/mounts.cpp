#include "init/mounts.h"

#include <sys/mount.h>

#include <cerrno>
#include <cstring>

#include "init/proc.h"
#include "init/say.h"

namespace gpcsup::init {

namespace {

constexpr unsigned most_mounts = 4096;
constexpr unsigned most_rounds = 8;
constexpr std::size_t text_size = 1u << 20;

// Kernel interfaces hold no data; the root cannot be unmounted and is made read-only.
constexpr const char* interfaces[] = {
    "proc",   "sysfs",  "devtmpfs",  "devpts", "cgroup",      "cgroup2",  "debugfs",  "tracefs", "securityfs",
    "pstore", "mqueue", "hugetlbfs", "bpf",    "binfmt_misc", "configfs", "efivarfs", "rootfs",  "ramfs"};

char text[text_size];
Mount mounts[most_mounts];

bool is_interface(const char* type) {
    for (const char* interface : interfaces) {
        if (strcmp(type, interface) == 0) {
            return true;
        }
    }
    return false;
}

// /proc/mounts writes space, tab, newline and backslash as three octal digits.
void decode(char* path) {
    char* to = path;
    for (const char* from = path; *from != '\0'; ++to) {
        if (from[0] == '\\' && from[1] >= '0' && from[1] <= '3' && from[2] != '\0' && from[3] != '\0') {
            *to = static_cast<char>((from[1] - '0') * 64 + (from[2] - '0') * 8 + (from[3] - '0'));
            from += 4;
        } else {
            *to = *from++;
        }
    }
    *to = '\0';
}

bool says_read_only(const char* options) {
    return strncmp(options, "ro", 2) == 0 && (options[2] == ',' || options[2] == '\0');
}

unsigned read_mounts() {
    unsigned count = 0;
    if (read_file("/proc/self/mounts", text, sizeof text) <= 0) {
        return 0;
    }
    char* rest = nullptr;
    for (char* line = strtok_r(text, "\n", &rest); line != nullptr && count < most_mounts;
         line = strtok_r(nullptr, "\n", &rest)) {
        char* part = nullptr;
        strtok_r(line, " ", &part);  // what is mounted
        char* place = strtok_r(nullptr, " ", &part);
        char* type = strtok_r(nullptr, " ", &part);
        char* options = strtok_r(nullptr, " ", &part);
        if (options == nullptr || is_interface(type)) {
            continue;
        }
        decode(place);
        const Mount mount{place, type, says_read_only(options)};
        const bool root = strcmp(place, "/") == 0;
        if (!is_early(place) && !(root && mount.read_only)) {
            mounts[count++] = mount;
        }
    }
    return count;
}

}  // namespace

bool is_early(const char* place) {
    return strcmp(place, "/run") == 0 || strcmp(place, "/dev") == 0 || strncmp(place, "/dev/", 5) == 0;
}

void end_mount(const Mount& mount) {
    const bool root = strcmp(mount.place, "/") == 0;
    if (!root && umount2(mount.place, UMOUNT_NOFOLLOW) == 0) {
        return;
    }
    const int code = root ? EBUSY : errno;
    if (mount.read_only || strcmp(mount.type, "tmpfs") == 0) {
        return;
    }
    if (::mount(nullptr, mount.place, nullptr, MS_REMOUNT | MS_RDONLY, nullptr) == 0) {
        announce("%s is read-only now", mount.place);
        return;
    }
    announce("cannot unmount %s: %s", mount.place, error_text(code));
}

Round MountList::next_round() {
    left_ = read_mounts();
    if (left_ == 0 || left_ == before_ || rounds_ == most_rounds) {
        return Round::over;
    }
    before_ = left_;
    ++rounds_;
    return Round::useful;
}

const Mount* MountList::next() {
    if (left_ == 0) {
        return nullptr;
    }
    current_ = mounts[--left_];
    announce("unmounting %s", current_.place);
    return &current_;
}

}  // namespace gpcsup::init
