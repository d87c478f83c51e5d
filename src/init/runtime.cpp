#include "init/runtime.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "init/proc.h"
#include "init/say.h"

namespace gpcsup::init {

namespace {

constexpr char lock_name[] = "lock";
constexpr char log_status_name[] = "logd.status";

void make_parents(const char* path) {
    char part[sizeof State::runtime];
    snprintf(part, sizeof part, "%s", path);
    for (char* slash = strchr(part + 1, '/'); slash != nullptr; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        mkdir(part, 0755);  // a failure shows when the last one is made
        *slash = '/';
    }
}

// The directory as a descriptor, or -1 (said). A link, a stranger's directory, or one that others may write
// to is refused: whoever can put a socket there could pose as the supervisor.
int open_directory(const char* path) {
    const bool root = geteuid() == 0;
    make_parents(path);
    mode_t mode = root ? 0755 : 0700;
    if (mkdir(path, mode) == 0) {
        chmod(path, mode);  // whatever the umask was
    } else if (errno != EEXIST) {
        say("cannot make the runtime directory %s: %s", path, error_text(errno));
        return -1;
    }
    int directory = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    struct stat about {};
    if (directory < 0 || fstat(directory, &about) < 0) {
        say("cannot open the runtime directory %s: %s", path, error_text(errno));
        return -1;
    }
    const char* problem = nullptr;
    if (about.st_uid != geteuid()) {
        problem = "it belongs to somebody else";
    } else if ((about.st_mode & (S_IWGRP | S_IWOTH)) != 0) {
        problem = "others may write to it";
    }
    if (problem != nullptr) {
        say("the runtime directory %s is refused: %s", path, problem);
        close(directory);
        return -1;
    }
    return directory;
}

void say_taken(int lock, const char* runtime) {
    char text[32] = {};
    ssize_t length = pread(lock, text, sizeof text - 1, 0);
    int other = length > 0 ? atoi(text) : 0;
    if (other > 0) {
        say("%s is in use by the gpc-init with pid %d", runtime, other);
    } else {
        say("%s is in use by another gpc-init", runtime);
    }
}

// The lock file locked, or -1 (said). Whoever ends removes the file, so the one locked must still be the one
// of that name.
int take_lock(int directory, const char* runtime) {
    for (;;) {
        int lock = openat(directory, lock_name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
        if (lock < 0) {
            say("cannot open %s/%s: %s", runtime, lock_name, error_text(errno));
            return -1;
        }
        if (flock(lock, LOCK_EX | LOCK_NB) < 0) {
            say_taken(lock, runtime);
            close(lock);
            return -1;
        }
        struct stat locked {};
        struct stat named {};
        fstat(lock, &locked);
        if (fstatat(directory, lock_name, &named, AT_SYMLINK_NOFOLLOW) == 0 &&
            named.st_ino == locked.st_ino) {
            return lock;
        }
        close(lock);
    }
}

}  // namespace

Claimed claim_runtime(State& state) {
    int directory = open_directory(state.runtime);
    if (directory < 0) {
        return Claimed::no;
    }
    state.lock = take_lock(directory, state.runtime);
    close(directory);
    if (state.lock < 0) {
        return Claimed::no;
    }
    char text[32];
    int length = snprintf(text, sizeof text, "%d\n", state.pid);
    if (ftruncate(state.lock, 0) < 0 || pwrite(state.lock, text, static_cast<unsigned>(length), 0) < 0) {
        say("cannot write the pid to %s/%s: %s", state.runtime, lock_name, error_text(errno));
    }
    return Claimed::yes;
}

void release_runtime(const State& state) {
    int directory = open(state.runtime, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (directory < 0) {
        return;
    }
    DirectoryReader reader(directory);
    while (const char* name = reader.next()) {
        struct stat about {};
        if (fstatat(directory, name, &about, AT_SYMLINK_NOFOLLOW) == 0 && S_ISSOCK(about.st_mode)) {
            unlinkat(directory, name, 0);
        }
    }
    unlinkat(directory, log_status_name, 0);
    unlinkat(directory, lock_name, 0);
    close(directory);
}

}  // namespace gpcsup::init
