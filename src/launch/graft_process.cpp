#include "launch/graft_process.h"

#include <algorithm>
#include <cerrno>

#include <sys/socket.h>

#include "launch/spawn.h"
#include "wire/names.h"

namespace gpcsup::launch {
namespace {

base::Result<> send_request(const GraftStart& start, int socket) {
    if (start.filter->size() > wire::graft_most_instructions) {
        return base::fail(E2BIG, "graft", "process " + std::to_string(start.process.pid));
    }
    auto request = std::make_unique<wire::GraftRequest>();
    request->mode = start.mode;
    request->pid = start.process.pid;
    request->timeout_ms = start.timeout_ms;
    request->start_time = start.process.start_time;
    request->listener_key = start.listener_key;
    request->filter_count = static_cast<std::uint32_t>(start.filter->size());
    std::ranges::copy(*start.filter, request->filter);
    const std::size_t size = wire::size_of_graft(request->filter_count);
    if (send(socket, request.get(), size, MSG_DONTWAIT | MSG_NOSIGNAL) != static_cast<ssize_t>(size)) {
        return base::fail(errno, "give a request to", start.graft_program);
    }
    return {};
}

}  // namespace

base::Result<GraftProcess> start_graft(const GraftStart& start, StartSlots& slots, SlotId slot) {
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) {
        return base::fail(errno, "make a socket for", start.graft_program);
    }
    GraftProcess process;
    process.socket.reset(ends[0]);
    const base::Fd theirs(ends[1]);
    if (auto sent = send_request(start, process.socket.get()); !sent) {
        return base::pass(sent);
    }
    LaunchRequest request;
    request.executable = start.graft_program;
    request.arguments = {wire::graft_program};
    request.directory = "/";
    request.passed = {theirs.get(), start.handover};  // wire::graft_socket, wire::graft_handover
    request.init_pid = start.init_pid;
    auto spawned = spawn({request, start.lane, slots, slot, start.exec_program});
    if (!spawned) {
        return base::pass(spawned);
    }
    process.pid = spawned->pid;
    process.pidfd = std::move(spawned->pidfd);
    return process;
}

std::optional<wire::GraftAnswer> receive_answer(const GraftProcess& process) {
    wire::GraftAnswer answer;
    const ssize_t got = recv(process.socket.get(), &answer, sizeof(answer), MSG_DONTWAIT);
    const bool sound = got == static_cast<ssize_t>(sizeof(answer)) && answer.version == wire::graft_version &&
                       answer.outcome < wire::GraftOutcome::count_;
    return sound ? std::optional(answer) : std::nullopt;
}

}  // namespace gpcsup::launch
