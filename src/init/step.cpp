#include "init/step.h"

#include <signal.h>
#include <sys/wait.h>

#include <cerrno>

#include "init/say.h"

namespace gpcsup::init {

namespace {

constexpr int most_forks = 10;
constexpr Nanoseconds fork_pause = 100 * millisecond;

}  // namespace

Emptied reap_until(pid_t pid, Nanoseconds deadline) {
    sigset_t child;
    sigemptyset(&child);
    sigaddset(&child, SIGCHLD);
    for (;;) {
        pid_t gone = 0;
        while ((gone = static_cast<pid_t>(waitpid(-1, nullptr, WNOHANG | __WALL))) > 0) {
            if (gone == pid) {
                return Emptied::yes;
            }
        }
        if (gone < 0 && errno == ECHILD) {
            return Emptied::yes;
        }
        const Nanoseconds time = now();
        if (time >= deadline) {
            return Emptied::no;
        }
        timespec left = to_timespec(deadline - time);
        sigtimedwait(&child, nullptr, &left);
    }
}

pid_t fork_patiently() {
    pid_t pid = fork();
    for (int again = 1; pid < 0 && again < most_forks; ++again) {
        const timespec pause = to_timespec(fork_pause);
        nanosleep(&pause, nullptr);
        pid = fork();
    }
    return pid;
}

void await_step(const char* what, pid_t pid, Nanoseconds patience) {
    if (reap_until(pid, now() + patience) == Emptied::no) {
        announce("%s has not ended in time: going on without it", what);
        kill(pid, SIGKILL);
    }
}

void say_not_apart(const char* what) {
    announce("%s: no process can be made for it, doing it without one", what);
}

}  // namespace gpcsup::init
