// brood COUNT: forks as fast as it can, and keeps the youngest COUNT children alive; each waits to be killed.
// SIGUSR1 makes it pause, and go on again; each time it says so on standard output, "paused FORKS" and
// "going", and while it is paused nobody is born and nobody dies.

#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>

namespace {

constexpr long most = 4096;
volatile sig_atomic_t toggles = 0;

void on_signal(int) {
    toggles = toggles + 1;
}

void end(pid_t child) {
    kill(child, SIGKILL);
    while (waitpid(child, nullptr, 0) < 0 && errno == EINTR) {
    }
}

[[noreturn]] void live_on(pid_t parent) {
    signal(SIGUSR1, SIG_DFL);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    while (getppid() == parent) {
        pause();
    }
    _exit(0);
}

void say(const char* word, long forks) {
    std::printf("%s %ld\n", word, forks);
    std::fflush(stdout);
}

}  // namespace

int main(int count, char** words) {
    const long kept = count > 1 ? std::strtol(words[1], nullptr, 10) : 0;
    if (kept < 1 || kept > most) {
        std::fprintf(stderr, "usage: brood COUNT (at most %ld)\n", most);
        return 64;
    }
    struct sigaction action {};
    action.sa_handler = on_signal;
    sigaction(SIGUSR1, &action, nullptr);
    sigset_t usr1;
    sigset_t waiting;
    sigemptyset(&usr1);
    sigaddset(&usr1, SIGUSR1);
    sigprocmask(SIG_BLOCK, &usr1, &waiting);
    static pid_t children[most];
    const pid_t own = getpid();
    say("going", 0);
    for (long forks = 0;; ++forks) {
        sigprocmask(SIG_SETMASK, &waiting, nullptr);
        sigprocmask(SIG_BLOCK, &usr1, nullptr);
        if (toggles % 2 == 1) {
            say("paused", forks);
            while (toggles % 2 == 1) {
                sigsuspend(&waiting);
            }
            say("going", forks);
        }
        pid_t& place = children[forks % kept];
        if (place > 0) {
            end(place);
        }
        place = fork();
        if (place == 0) {
            sigprocmask(SIG_SETMASK, &waiting, nullptr);
            live_on(own);
        }
        if (place < 0) {
            std::perror("brood: fork");
            return 1;
        }
    }
}
