#include "launch/file_calls.h"

#include <algorithm>
#include <array>

#include "launch/trap_table.h"

namespace gpcsup::launch {
namespace {

constexpr std::array<FileCall, 44> makers = {{
    {"open", Makes::one, 2, 5},
    {"creat", Makes::one, 85, 8},
    {"openat", Makes::one, 257, 295},
    {"openat2", Makes::one, 437, 437},
    {"open_by_handle_at", Makes::one, 304, 342},
    {"open_tree", Makes::one, 428, 428},
    {"open_tree_attr", Makes::one, 467, 467},
    {"fsopen", Makes::one, 430, 430},
    {"fsmount", Makes::one, 432, 432},
    {"fspick", Makes::one, 433, 433},
    {"socket", Makes::one, 41, 359},
    {"accept", Makes::one, 43, no_call},
    {"accept4", Makes::one, 288, 364},
    {"epoll_create", Makes::one, 213, 254},
    {"epoll_create1", Makes::one, 291, 329},
    {"eventfd", Makes::one, 284, 323},
    {"eventfd2", Makes::one, 290, 328},
    {"timerfd_create", Makes::one, 283, 322},
    {"inotify_init", Makes::one, 253, 291},
    {"inotify_init1", Makes::one, 294, 332},
    {"fanotify_init", Makes::one, 300, 338},
    {"memfd_create", Makes::one, 319, 356},
    {"memfd_secret", Makes::one, 447, 447},
    {"userfaultfd", Makes::one, 323, 374},
    {"perf_event_open", Makes::one, 298, 336},
    {"pidfd_open", Makes::one, 434, 434},
    {"landlock_create_ruleset", Makes::one, 444, 444},
    {"mq_open", Makes::one, 240, 277},
    {"pipe", Makes::two, 22, 42},
    {"pipe2", Makes::two, 293, 331},
    {"socketpair", Makes::two, 53, 360},
    {"signalfd", Makes::by_argument, 282, 321},
    {"signalfd4", Makes::by_argument, 289, 327},
    {"bpf", Makes::by_argument, 321, 357},
    {"seccomp", Makes::by_argument, 317, 354},
    {"clone", Makes::by_argument, 56, 120},
    {"getsockopt", Makes::by_argument, 55, 365},
    {"ioctl", Makes::by_argument, 16, 54},
    {"socketcall", Makes::by_argument, no_call, 102},
    {"io_uring_setup", Makes::refused, 425, 425},
    {"io_uring_enter", Makes::refused, 426, 426},
    {"io_uring_register", Makes::refused, 427, 427},
    {"clone3", Makes::refused, 435, 435},
    {"setsockopt", Makes::refused, 54, 366},
}};

// Everything else, on purpose: dup, fcntl, recvmsg and pidfd_getfd name a description that is there already;
// shmget, shmat, mmap, io_setup, execve, acct and swapon open a file that never has a descriptor.
// clang-format off
constexpr std::string_view harmless[] = {
    "_llseek", "_newselect", "_sysctl", "access", "acct", "add_key", "adjtimex", "afs_syscall", "alarm",
    "arch_prctl", "bdflush", "bind", "break", "brk", "cachestat", "capget", "capset", "chdir", "chmod",
    "chown", "chown32", "chroot", "clock_adjtime", "clock_adjtime64", "clock_getres", "clock_getres_time64",
    "clock_gettime", "clock_gettime64", "clock_nanosleep", "clock_nanosleep_time64", "clock_settime",
    "clock_settime64", "close", "close_range", "connect", "copy_file_range", "create_module", "delete_module",
    "dup", "dup2", "dup3", "epoll_ctl", "epoll_ctl_old", "epoll_pwait", "epoll_pwait2", "epoll_wait",
    "epoll_wait_old", "execve", "execveat", "exit", "exit_group", "faccessat", "faccessat2", "fadvise64",
    "fadvise64_64", "fallocate", "fanotify_mark", "fchdir", "fchmod", "fchmodat", "fchmodat2", "fchown",
    "fchown32", "fchownat", "fcntl", "fcntl64", "fdatasync", "fgetxattr", "file_getattr", "file_setattr",
    "finit_module", "flistxattr", "flock", "fork", "fremovexattr", "fsconfig", "fsetxattr", "fstat",
    "fstat64", "fstatat64", "fstatfs", "fstatfs64", "fsync", "ftime", "ftruncate", "ftruncate64", "futex",
    "futex_requeue", "futex_time64", "futex_wait", "futex_waitv", "futex_wake", "futimesat",
    "get_kernel_syms", "get_mempolicy", "get_robust_list", "get_thread_area", "getcpu", "getcwd", "getdents",
    "getdents64", "getegid", "getegid32", "geteuid", "geteuid32", "getgid", "getgid32", "getgroups",
    "getgroups32", "getitimer", "getpeername", "getpgid", "getpgrp", "getpid", "getpmsg", "getppid",
    "getpriority", "getrandom", "getresgid", "getresgid32", "getresuid", "getresuid32", "getrlimit",
    "getrusage", "getsid", "getsockname", "gettid", "gettimeofday", "getuid", "getuid32", "getxattr",
    "getxattrat", "gtty", "idle", "init_module", "inotify_add_watch", "inotify_rm_watch", "io_cancel",
    "io_destroy", "io_getevents", "io_pgetevents", "io_pgetevents_time64", "io_setup", "io_submit", "ioperm",
    "iopl", "ioprio_get", "ioprio_set", "ipc", "kcmp", "kexec_file_load", "kexec_load", "keyctl", "kill",
    "landlock_add_rule", "landlock_restrict_self", "lchown", "lchown32", "lgetxattr", "link", "linkat",
    "listen", "listmount", "listxattr", "listxattrat", "llistxattr", "lock", "lookup_dcookie", "lremovexattr",
    "lseek", "lsetxattr", "lsm_get_self_attr", "lsm_list_modules", "lsm_set_self_attr", "lstat", "lstat64",
    "madvise", "map_shadow_stack", "mbind", "membarrier", "migrate_pages", "mincore", "mkdir", "mkdirat",
    "mknod", "mknodat", "mlock", "mlock2", "mlockall", "mmap", "mmap2", "modify_ldt", "mount",
    "mount_setattr", "move_mount", "move_pages", "mprotect", "mpx", "mq_getsetattr", "mq_notify",
    "mq_timedreceive", "mq_timedreceive_time64", "mq_timedsend", "mq_timedsend_time64", "mq_unlink", "mremap",
    "mseal", "msgctl", "msgget", "msgrcv", "msgsnd", "msync", "munlock", "munlockall", "munmap",
    "name_to_handle_at", "nanosleep", "newfstatat", "nfsservctl", "nice", "oldfstat", "oldlstat",
    "oldolduname", "oldstat", "olduname", "pause", "personality", "pidfd_getfd", "pidfd_send_signal",
    "pivot_root", "pkey_alloc", "pkey_free", "pkey_mprotect", "poll", "ppoll", "ppoll_time64", "prctl",
    "pread64", "preadv", "preadv2", "prlimit64", "process_madvise", "process_mrelease", "process_vm_readv",
    "process_vm_writev", "prof", "profil", "pselect6", "pselect6_time64", "ptrace", "putpmsg", "pwrite64",
    "pwritev", "pwritev2", "query_module", "quotactl", "quotactl_fd", "read", "readahead", "readdir",
    "readlink", "readlinkat", "readv", "reboot", "recvfrom", "recvmmsg", "recvmmsg_time64", "recvmsg",
    "remap_file_pages", "removexattr", "removexattrat", "rename", "renameat", "renameat2", "request_key",
    "restart_syscall", "rmdir", "rseq", "rt_sigaction", "rt_sigpending", "rt_sigprocmask", "rt_sigqueueinfo",
    "rt_sigreturn", "rt_sigsuspend", "rt_sigtimedwait", "rt_sigtimedwait_time64", "rt_tgsigqueueinfo",
    "sched_get_priority_max", "sched_get_priority_min", "sched_getaffinity", "sched_getattr",
    "sched_getparam", "sched_getscheduler", "sched_rr_get_interval", "sched_rr_get_interval_time64",
    "sched_setaffinity", "sched_setattr", "sched_setparam", "sched_setscheduler", "sched_yield", "security",
    "select", "semctl", "semget", "semop", "semtimedop", "semtimedop_time64", "sendfile", "sendfile64",
    "sendmmsg", "sendmsg", "sendto", "set_mempolicy", "set_mempolicy_home_node", "set_robust_list",
    "set_thread_area", "set_tid_address", "setdomainname", "setfsgid", "setfsgid32", "setfsuid", "setfsuid32",
    "setgid", "setgid32", "setgroups", "setgroups32", "sethostname", "setitimer", "setns", "setpgid",
    "setpriority", "setregid", "setregid32", "setresgid", "setresgid32", "setresuid", "setresuid32",
    "setreuid", "setreuid32", "setrlimit", "setsid", "settimeofday", "setuid", "setuid32", "setxattr",
    "setxattrat", "sgetmask", "shmat", "shmctl", "shmdt", "shmget", "shutdown", "sigaction", "sigaltstack",
    "signal", "sigpending", "sigprocmask", "sigreturn", "sigsuspend", "splice", "ssetmask", "stat", "stat64",
    "statfs", "statfs64", "statmount", "statx", "stime", "stty", "swapoff", "swapon", "symlink", "symlinkat",
    "sync", "sync_file_range", "syncfs", "sysfs", "sysinfo", "syslog", "tee", "tgkill", "time",
    "timer_create", "timer_delete", "timer_getoverrun", "timer_gettime", "timer_gettime64", "timer_settime",
    "timer_settime64", "timerfd_gettime", "timerfd_gettime64", "timerfd_settime", "timerfd_settime64",
    "times", "tkill", "truncate", "truncate64", "tuxcall", "ugetrlimit", "ulimit", "umask", "umount",
    "umount2", "uname", "unlink", "unlinkat", "unshare", "uselib", "ustat", "utime", "utimensat",
    "utimensat_time64", "utimes", "vfork", "vhangup", "vm86", "vm86old", "vmsplice", "vserver", "wait4",
    "waitid", "waitpid", "write", "writev",
};
// clang-format on

}  // namespace

std::span<const FileCall> file_calls() {
    return makers;
}

std::span<const std::string_view> calls_without_files() {
    return harmless;
}

std::optional<Makes> what_makes(std::string_view call) {
    if (std::ranges::find(harmless, call) != std::end(harmless)) {
        return Makes::none;
    }
    const auto found = std::ranges::find(makers, call, &FileCall::name);
    return found != makers.end() ? std::optional(found->makes) : std::nullopt;
}

}  // namespace gpcsup::launch
