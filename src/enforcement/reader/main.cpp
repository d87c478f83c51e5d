// gpc-reader: does for gpcsupd what may block: it reads the memory of a trapped thread, looks at figures in
// /proc, moves pages to other nodes. Reading may block for ever (a page behind
// userfaultfd, FUSE or NFS), so it is done here, in a process that gpcsupd kills when it does not answer in
// time. One request after the other.

#include <bit>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "enforcement/reader/memory.h"
#include "enforcement/reader/pages.h"
#include "wire/reader.h"

namespace gpcsup::enforcement {
namespace {

// Whether the thread still waits in exactly that call: else its number has become another thread's meanwhile.
int check_call(const wire::ReadRequest& request) {
    char path[40];
    std::snprintf(path, sizeof(path), "/proc/%d/syscall", static_cast<int>(request.tid));
    const int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0) {
        return errno == ENOENT ? ESTALE : EPERM;
    }
    char text[256];
    const ssize_t got = read(file, text, sizeof(text) - 1);
    close(file);
    if (got <= 0) {
        return got < 0 && (errno == EPERM || errno == EACCES) ? EPERM : ESTALE;
    }
    text[got] = '\0';
    char* rest = text;
    if (std::strtol(text, &rest, 10) != request.call || rest == text) {
        return ESTALE;
    }
    for (const std::uint64_t argument : request.arguments) {
        if (std::strtoull(rest, &rest, 16) != argument) {
            return ESTALE;
        }
    }
    return 0;
}

int read_memory(const wire::ReadRequest& request, wire::ReadAnswer& answer) {
    const std::size_t wanted =
        request.length < wire::reader_max_length ? request.length : wire::reader_max_length;
    const iovec here{answer.data, wanted};
    const iovec there{std::bit_cast<void*>(request.address), wanted};
    const ssize_t got = process_vm_readv(request.tid, &here, 1, &there, 1, 0);
    if (got < 0) {
        return errno == ESRCH ? ESTALE : errno == EPERM ? EPERM : EFAULT;
    }
    answer.length = static_cast<std::uint32_t>(got);
    return static_cast<std::size_t>(got) == wanted ? 0 : EFAULT;
}

bool serve_figures(const wire::MemoryRequest& request) {
    wire::MemoryAnswer answer;
    read_figures(request, answer);
    return send(wire::reader_socket, &answer, sizeof(answer), MSG_NOSIGNAL) == sizeof(answer);
}

bool serve_move(const wire::MoveRequest& request) {
    wire::MoveAnswer answer;
    move_slice(request, answer);
    return send(wire::reader_socket, &answer, sizeof(answer), MSG_NOSIGNAL) == sizeof(answer);
}

bool serve_one() {
    wire::MemoryRequest figures;  // the largest of the three
    wire::MoveRequest move;
    wire::ReadRequest request;
    static_assert(sizeof(figures) > sizeof(move) && sizeof(move) > sizeof(request));
    const ssize_t got = recv(wire::reader_socket, &figures, sizeof(figures), 0);
    if (got < 0 && errno == EINTR) {
        return true;
    }
    if (got == sizeof(figures)) {
        return serve_figures(figures);
    }
    if (got == sizeof(move)) {
        std::memcpy(static_cast<void*>(&move), &figures, sizeof(move));
        return serve_move(move);
    }
    if (got != sizeof(request)) {
        return false;
    }
    std::memcpy(static_cast<void*>(&request), &figures, sizeof(request));
    wire::ReadAnswer answer;
    answer.id = request.id;
    answer.error = read_memory(request, answer);
    if (answer.error == 0) {
        answer.error = check_call(request);
    }
    return send(wire::reader_socket, &answer, sizeof(answer), MSG_NOSIGNAL) == sizeof(answer);
}

}  // namespace
}  // namespace gpcsup::enforcement

int main() {
    prctl(PR_SET_PDEATHSIG, SIGKILL);  // a reader that hangs must not outlive who would have killed it
    std::signal(SIGINT, SIG_IGN);
    while (gpcsup::enforcement::serve_one()) {
    }
    return 0;
}
