/* The service of the benchmarks: says one byte into a fifo, so that the clock can be stopped without looking,
 * and pauses until a signal ends it. The fifo is its argument, or PAUSE_FIFO for supervisors whose services
 * have no arguments. */
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

int main(int argc, char** argv) {
    const char* fifo = getenv("PAUSE_FIFO") ? getenv("PAUSE_FIFO") : argc > 1 ? argv[1] : NULL;
    const int fd = fifo ? open(fifo, O_WRONLY | O_CLOEXEC) : -1;
    if (fd < 0 || write(fd, "+", 1) != 1) {
        return 1;
    }
    close(fd);
    if (getenv("PAUSE_READY_FD") && write(atoi(getenv("PAUSE_READY_FD")), "\n", 1) != 1) {
        return 1;
    }
    for (;;) {
        pause();
    }
}
