#include "init/emergency.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cerrno>
#include <initializer_list>

#include "init/priority.h"
#include "init/say.h"
#include "init/signals.h"

extern char** environ;

namespace gpcsup::init {

namespace {

struct Shell {
    const char* path;
    const char* name;
};
constexpr Shell shells[] = {
    {"/bin/sh", "-sh"}, {"/bin/bash", "-bash"}, {"/bin/busybox", "sh"}, {"/usr/bin/busybox", "sh"}};

[[noreturn]] void become_shell(const State& state) {
    setsid();
    int console = open("/dev/console", O_RDWR);
    if (console >= 0) {
        ioctl(console, TIOCSCTTY, 1);
        for (int number : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
            dup2(console, number);
        }
        if (console > STDERR_FILENO) {
            close(console);
        }
    }
    restore_limits(state);
    restore_signals();
    for (const Shell& shell : shells) {
        char* arguments[] = {const_cast<char*>(shell.name), nullptr};  // execve(2) does not write there
        execve(shell.path, arguments, environ);
    }
    announce("no shell can be executed: %s", error_text(errno));
    _exit(127);
}

}  // namespace

void start_shell(State& state, const char* reason) {
    announce("----");
    announce("%s", reason);
    announce("This is the emergency shell. When you leave it (exit or Ctrl-D), gpcsupd is tried again.");
    announce("Ctrl-Alt-Del seven times within two seconds reboots at once.");
    pid_t pid = fork();
    if (pid == 0) {
        become_shell(state);
    }
    if (pid < 0) {
        announce("cannot start the shell: %s", error_text(errno));
        return;
    }
    state.shell = pid;
}

}  // namespace gpcsup::init
