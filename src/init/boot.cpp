#include "init/boot.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <initializer_list>

#include "init/proc.h"
#include "init/say.h"

namespace gpcsup::init {

namespace {

struct ApiMount {
    const char* type;
    const char* place;
    unsigned long flags;
    const char* options;
    long magic;  // of the file system that counts as "there already"; 0: anything mounted on the place
};

constexpr ApiMount api_mounts[] = {
    {"proc", "/proc", MS_NOSUID | MS_NOEXEC | MS_NODEV, nullptr, PROC_SUPER_MAGIC},
    {"sysfs", "/sys", MS_NOSUID | MS_NOEXEC | MS_NODEV, nullptr, SYSFS_MAGIC},
    {"devtmpfs", "/dev", MS_NOSUID, "mode=0755", 0},
    {"devpts", "/dev/pts", MS_NOSUID | MS_NOEXEC, "gid=5,mode=0620,ptmxmode=0666", DEVPTS_SUPER_MAGIC},
    {"tmpfs", "/dev/shm", MS_NOSUID | MS_NODEV, "mode=1777", 0},
    {"tmpfs", "/run", MS_NOSUID | MS_NODEV, "mode=0755", 0},
};

bool is_mounted(const ApiMount& mount) {
    if (mount.magic != 0) {
        struct statfs about {};
        return statfs(mount.place, &about) == 0 && static_cast<long>(about.f_type) == mount.magic;
    }
    struct stat here {};
    struct stat above {};
    char parent[64] = {};
    strncpy(parent, mount.place, sizeof parent - 1);
    char* slash = strrchr(parent, '/');
    slash[slash == parent ? 1 : 0] = '\0';
    return stat(mount.place, &here) == 0 && stat(parent, &above) == 0 && here.st_dev != above.st_dev;
}

// The pid namespace that the kernel itself starts in has a fixed inode number (PROC_PID_INIT_INO). Everything
// else that could be asked (NS_GET_PARENT, NSpid) looks the same from inside a namespace.
bool in_first_pid_namespace() {
    char link[64] = {};
    return readlink("/proc/self/ns/pid", link, sizeof link - 1) > 0 && strcmp(link, "pid:[4026531836]") == 0;
}

void open_console() {
    int console = open("/dev/console", O_RDWR | O_NOCTTY);
    if (console < 0) {
        return;
    }
    for (int number : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
        dup2(console, number);
    }
    if (console > STDERR_FILENO) {
        close(console);
    }
}

void set_host_name() {
    char text[256];
    if (read_file("/etc/hostname", text, sizeof text) <= 0) {
        return;
    }
    char* rest = nullptr;
    for (char* line = strtok_r(text, "\n", &rest); line != nullptr; line = strtok_r(nullptr, "\n", &rest)) {
        line += strspn(line, " \t");
        const std::size_t length = strcspn(line, " \t\r#");
        if (length > 0) {
            if (sethostname(line, length) < 0) {
                say("cannot set the host name: %s", error_text(errno));
            }
            return;
        }
    }
}

void raise_loopback() {
    int any = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (any < 0) {
        return;
    }
    ifreq request{};
    strcpy(request.ifr_name, "lo");
    if (ioctl(any, SIOCGIFFLAGS, &request) == 0 && (request.ifr_flags & IFF_UP) == 0) {
        request.ifr_flags |= IFF_UP;
        if (ioctl(any, SIOCSIFFLAGS, &request) < 0) {
            say("cannot bring the loopback interface up: %s", error_text(errno));
        }
    }
    close(any);
}

}  // namespace

void ensure_standard_descriptors() {
    const int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    const int instead = null >= 0 ? null : open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    for (int number : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
        struct stat about {};
        const bool missing = number == instead || fstat(number, &about) < 0;
        if (missing || (S_ISDIR(about.st_mode) && null >= 0)) {
            number == instead ? fcntl(number, F_SETFD, 0) : dup2(instead, number);
        }
    }
    if (instead > STDERR_FILENO) {
        close(instead);
    }
}

Role prepare_system() {
    for (const ApiMount& wanted : api_mounts) {
        if (is_mounted(wanted)) {
            continue;
        }
        mkdir(wanted.place, 0755);
        if (mount(wanted.type, wanted.place, wanted.type, wanted.flags, wanted.options) < 0 &&
            errno != EBUSY) {
            say("cannot mount %s: %s", wanted.place, error_text(errno));
        }
    }
    ensure_standard_descriptors();
    return in_first_pid_namespace() ? Role::machine : Role::container;
}

void prepare_machine(Role role) {
    setsid();
    umask(022);
    if (chdir("/") < 0) {
        say("cannot go to /: %s", error_text(errno));
    }
    if (getenv("PATH") == nullptr) {
        // Before anything runs that could want the heap to be left alone.
        setenv("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", 1);
    }
    if (role == Role::machine) {
        open_console();
        say_to_kernel_log();
        reboot(RB_DISABLE_CAD);  // Ctrl-Alt-Del sends SIGINT instead of resetting the machine
        set_host_name();
    }
    raise_loopback();
}

}  // namespace gpcsup::init
