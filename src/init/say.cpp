#include "init/say.h"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <cstdarg>
#include <cstdio>
#include <cstring>

namespace gpcsup::init {

namespace {

constexpr char prefix[] = "gpc-init: ";
constexpr char kernel_prefix[] = "<5>gpc-init: ";  // 5 = notice
constexpr int line_capacity = 900;                 // below the kernel log's record limit

constexpr int longest_wait_ms = 200;

int kernel_log = -1;

// A terminal that is stopped or a pipe that nobody reads must not stop PID 1: it waits a moment, as a serial
// line needs one for what was said before, and for the next lines no longer until one has come through. The
// kernel log never blocks, and does not say so to poll(2).
bool takes_a_line(int to) {
    static int patience_ms = longest_wait_ms;
    if (to == kernel_log) {
        return true;
    }
    pollfd place{to, POLLOUT, 0};
    const bool ready = poll(&place, 1, patience_ms) == 1 && (place.revents & POLLOUT) != 0;
    patience_ms = ready ? longest_wait_ms : 0;
    return ready;
}

void write_line(int to, const char* start, const char* format, va_list arguments) {
    char line[line_capacity];
    int used = snprintf(line, sizeof line, "%s", start);
    int more = vsnprintf(line + used, sizeof line - static_cast<unsigned>(used) - 1, format, arguments);
    if (more > 0) {
        used += more;
    }
    if (used > line_capacity - 2) {
        used = line_capacity - 2;
    }
    line[used++] = '\n';
    if (takes_a_line(to)) {
        [[maybe_unused]] auto written = write(to, line, static_cast<unsigned>(used));
    }
}

}  // namespace

void say_to_kernel_log() {
    if (kernel_log < 0) {
        kernel_log = open("/dev/kmsg", O_WRONLY | O_CLOEXEC | O_NOCTTY);
    }
}

void say(const char* format, ...) {
    va_list arguments;
    va_start(arguments, format);
    if (kernel_log >= 0) {
        write_line(kernel_log, kernel_prefix, format, arguments);
    } else {
        write_line(STDERR_FILENO, prefix, format, arguments);
    }
    va_end(arguments);
}

void announce(const char* format, ...) {
    va_list arguments;
    va_start(arguments, format);
    write_line(STDERR_FILENO, prefix, format, arguments);
    va_end(arguments);
}

const char* error_text(int code) {
#ifdef __GLIBC__
    const char* text = strerrordesc_np(code);
    return text != nullptr ? text : "unknown error";
#else
    return strerror(code);  // musl's has no buffer
#endif
}

}  // namespace gpcsup::init
