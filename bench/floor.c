/* The floor that every supervisor is compared with: vfork and exec, restart when one has ended, and nothing
 * else. floor COUNT PROGRAM ARGUMENT      until SIGTERM, which ends all */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static char** command;
static sigset_t inherited;

static pid_t start(void) {
    const pid_t child = vfork();
    if (child == 0) {
        sigprocmask(SIG_SETMASK, &inherited, NULL);
        execv(command[0], command);
        _exit(127);
    }
    return child;
}

int main(int argc, char** argv) {
    if (argc != 4) {
        return 64;
    }
    const int count = atoi(argv[1]);
    command = argv + 2;
    pid_t* children = calloc((size_t)count, sizeof *children);
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    sigaddset(&set, SIGTERM);
    /* Before the first start: the last service speaks before we would come to it, and SIGTERM may be next. */
    sigprocmask(SIG_BLOCK, &set, &inherited);
    for (int made = 0; made < count; made++) {
        children[made] = start();
    }
    int number = 0;
    while (sigwait(&set, &number) == 0 && number != SIGTERM) {
        pid_t gone;
        while ((gone = waitpid(-1, NULL, WNOHANG)) > 0) {
            for (int at = 0; at < count; at++) {
                if (children[at] == gone) {
                    children[at] = start();
                }
            }
        }
    }
    for (int at = 0; at < count; at++) {
        kill(children[at], SIGKILL);
    }
    while (wait(NULL) > 0 || errno == EINTR) {
    }
    return 0;
}
