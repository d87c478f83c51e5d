// gpc-graft: gives one running process the filter that it would have been born with (wire/graft.h). Started
// by gpcsupd as a child of gpc-init, so that it survives gpcsupd; reads one request, answers it, ends. It may
// be killed at any instant: the process it works on goes on by itself, and a successor ends what was begun.

#include <csignal>

#include <sys/socket.h>
#include <unistd.h>

#include "exec/graft/graft.h"
#include "wire/graft.h"

int main() {
    using namespace gpcsup;
    static wire::GraftRequest request;
    std::signal(SIGINT, SIG_IGN);
    std::signal(SIGTERM, SIG_IGN);  // gpcsupd ends it, when it is over its time
    const ssize_t got = recv(wire::graft_socket, &request, sizeof(request), 0);
    const bool whole = got >= static_cast<ssize_t>(wire::size_of_graft(0)) &&
                       request.version == wire::graft_version &&
                       request.filter_count <= wire::graft_most_instructions &&
                       static_cast<std::size_t>(got) == wire::size_of_graft(request.filter_count);
    if (!whole) {
        static constexpr char usage[] = "gpc-graft is started by gpcsupd, with a request on descriptor 3\n";
        return write(STDERR_FILENO, usage, sizeof(usage) - 1) < 0 ? 1 : 64;
    }
    const wire::GraftAnswer answer = exec::graft(request);
    return send(wire::graft_socket, &answer, sizeof(answer), MSG_NOSIGNAL) == sizeof(answer) ? 0 : 1;
}
