/* A service of many processes: forks so many children that all pause, says one byte into the fifo when they
 * are there, and pauses until a signal ends it. crowd FIFO PROCESSES */
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

int main(int argc, char** argv) {
    if (argc < 3) {
        return 64;
    }
    for (int left = atoi(argv[2]) - 1; left > 0; --left) {
        const pid_t child = fork();
        if (child < 0) {
            return 1;
        }
        if (child == 0) {
            for (;;) {
                pause();
            }
        }
    }
    const int fifo = open(argv[1], O_WRONLY | O_CLOEXEC);
    if (fifo < 0 || write(fifo, "+", 1) != 1) {
        return 1;
    }
    close(fifo);
    for (;;) {
        pause();
    }
}
