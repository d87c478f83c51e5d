// The steps of a shutdown, in a process of the test's own: a machine's PID 1 is not to be had here.

#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cerrno>
#include <csignal>
#include <cstddef>

#include "init/mounts.h"
#include "init/step.h"
#include "system/init/instance.h"

namespace gpcsup::tests {

namespace {

// From now on this process cannot fork.
void refuse_forks() {
    sock_filter program[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_clone, 3, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_fork, 2, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_vfork, 1, 0),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EAGAIN),
    };
    const sock_fprog filter{sizeof program / sizeof program[0], program};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) != 0) {
        _exit(77);
    }
}

void block_child_signal() {
    sigset_t child;
    sigemptyset(&child);
    sigaddset(&child, SIGCHLD);
    sigprocmask(SIG_BLOCK, &child, nullptr);
}

enum class Forks { allowed, refused };

// What a step wrote that was run by a process of its own; nothing = the step was left out.
std::string run_by_a_process(Forks forks) {
    int ends[2];
    REQUIRE(pipe2(ends, O_CLOEXEC) == 0);
    base::Fd reader(ends[0]);
    base::Fd writer(ends[1]);
    const pid_t pid = fork();
    if (pid == 0) {
        block_child_signal();
        dup2(writer.get(), STDERR_FILENO);
        if (forks == Forks::refused) {
            refuse_forks();
        }
        init::run_step("sync", 10 * init::second,
                       [] { static_cast<void>(!write(STDERR_FILENO, "the step was done\n", 18)); });
        _exit(0);
    }
    REQUIRE(pid > 0);
    writer.reset();
    std::string text;
    char buffer[512];
    for (ssize_t got = 0; (got = read(reader.get(), buffer, sizeof buffer)) > 0;) {
        text.append(buffer, static_cast<std::size_t>(got));
    }
    int status = 0;
    REQUIRE(waitpid(pid, &status, 0) == pid);
    REQUIRE(status == 0);
    return text;
}

}  // namespace

TEST_CASE("a step of a shutdown is done, whether a process can be made for it or not") {
    CHECK(run_by_a_process(Forks::allowed) == "the step was done\n");
    const std::string without = run_by_a_process(Forks::refused);
    INFO(without);
    CHECK(without.find("the step was done\n") != std::string::npos);
    CHECK(without.find("doing it without one") != std::string::npos);
}

TEST_CASE("only what is below /dev is left mounted, not what merely begins like it") {
    for (const char* early : {"/dev", "/dev/shm", "/dev/pts", "/run"}) {
        CHECK(init::is_early(early));
    }
    for (const char* later : {"/device-data", "/dev2", "/", "/run/user/0", "/runner", "/home"}) {
        CHECK_FALSE(init::is_early(later));
    }
}

}  // namespace gpcsup::tests
