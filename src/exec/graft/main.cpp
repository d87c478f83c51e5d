// gpc-graft: gives one running process the filter that it would have been born with (wire/graft.h). Started
// by gpcsupd as a child of gpc-init, so that it survives gpcsupd; reads one request, answers it, ends. It may
// be killed at any instant: the process it works on goes on by itself, and a successor ends what was begun.

#include <csignal>

#include <sched.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "exec/graft/graft.h"
#include "wire/graft.h"

namespace {

// A thread of somebody else stands still at each of our steps: where it is permitted, nobody comes before us.
// A bound on it ends us, which harms nobody.
void hurry() {
    constexpr rlim_t most_us = 500'000;
    rlimit bound{};
    sched_param priority{};
    priority.sched_priority = 1;
    if (getrlimit(RLIMIT_RTTIME, &bound) != 0) {
        return;
    }
    bound.rlim_cur = most_us < bound.rlim_max ? most_us : bound.rlim_max;
    if (setrlimit(RLIMIT_RTTIME, &bound) == 0) {
        sched_setscheduler(0, SCHED_FIFO | SCHED_RESET_ON_FORK, &priority);
    }
}

}  // namespace

int main() {
    namespace wire = gpcsup::wire;
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
    hurry();
    const wire::GraftAnswer answer = gpcsup::exec::graft(request);
    return send(wire::graft_socket, &answer, sizeof(answer), MSG_NOSIGNAL) == sizeof(answer) ? 0 : 1;
}
