#include "system/enforce/stage.h"

#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <csignal>
#include <cstring>

#include "wire/keep.h"

namespace gpcsup::test {
namespace {

launch::GroupKey parent_of(launch::GroupKey group) {
    switch (group) {
        case 2:
        case 3:
            return 1;
        case 4:
            return 2;
        default:
            return 0;
    }
}

Fd make_event() {
    return Fd(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
}

void drain(const Fd& event) {
    std::uint64_t value = 0;
    static_cast<void>(!read(event.get(), &value, sizeof(value)));
}

Fd open_pidfd(pid_t pid) {
    return Fd(static_cast<int>(syscall(SYS_pidfd_open, pid, 0)));
}

}  // namespace

Stage::Stage(Enforcer enforcer)
    : enforcer_program_(enforcer == Enforcer::real ? program("gpc-enforce")
                                                   : support_program("bare_responder")),
      supervisor_wakeup_(make_event()),
      enforce_wakeup_(make_event()),
      stop_(make_event()) {
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    slots_ = std::move(*launch::StartSlots::create());
    client_ = std::move(*launch::EnforcementClient::create(parent_of));
    client_->use_wakeup(enforce_wakeup_.get());
    recounter_ = std::make_unique<launch::Recounter>(
        *client_, probe_,
        [this](launch::GroupKey group, wire::BudgetKind kind) { return count(group, kind); },
        [this](launch::GroupKey group) {  // nothing is guaranteed on this stage
            return std::map<launch::GroupKey, std::uint64_t>{{group, count(group, wire::BudgetKind::tasks)}};
        });
    pool_ = std::make_unique<launch::ReaderPool>(program("gpc-reader"));
    affinity_ = std::make_unique<launch::AffinityCalls>(*client_, *pool_, *this);
    policies_ = std::make_unique<launch::PolicyCalls>(*client_, *pool_, *this);
    allowed_cpus = base::CpuList::up_to(64);
    int ends[2];
    REQUIRE(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) == 0);
    handover_ours_.reset(ends[0]);
    handover_theirs_.reset(ends[1]);
    start_enforcer();
    thread_ = std::thread([this] { run(); });
}

Stage::~Stage() {
    const std::uint64_t one = 1;
    static_cast<void>(!write(stop_.get(), &one, sizeof(one)));
    thread_.join();
    for (const auto& [session, group] : sessions_) {
        kill(-session, SIGKILL);  // a session of our own making, its leader still ours to reap
    }
    keeper_.reset();  // gpc-enforce goes on until nobody is trapped, then ends by itself
    listeners_.clear();
    siginfo_t ended{};
    if (!readable(enforcer_.get(), 5s)) {
        syscall(SYS_pidfd_send_signal, enforcer_.get(), SIGKILL, nullptr, 0);
    }
    waitid(P_PIDFD, static_cast<id_t>(enforcer_.get()), &ended, WEXITED);
    pool_.reset();
    while (waitpid(-1, nullptr, WNOHANG) > 0) {
    }
}

void Stage::start_enforcer() {
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) {
        return;
    }
    keeper_.reset(ends[0]);
    const Fd theirs(fcntl(ends[1], F_DUPFD_CLOEXEC, 10));
    close(ends[1]);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, theirs.get(), 3);
    char name[] = "gpc-enforce";
    char keeper[] = "GPCSUP_KEEPER=3";
    char* const arguments[] = {name, nullptr};
    char* const environment[] = {keeper, nullptr};
    pid_t pid = 0;
    if (posix_spawn(&pid, enforcer_program_.c_str(), &actions, nullptr, arguments, environment) == 0) {
        enforcer_ = open_pidfd(pid);
    }
    posix_spawn_file_actions_destroy(&actions);
    deliver(wire::KeepClass::supervisor_wakeup, 0, supervisor_wakeup_.get());
    deliver(wire::KeepClass::enforce_wakeup, 0, enforce_wakeup_.get());
    deliver(wire::KeepClass::enforcement_table, 0, client_->descriptor());
    for (const auto& [key, listener] : listeners_) {
        deliver(wire::KeepClass::listener, key, listener.get());
    }
    wire::KeepMessage complete;
    complete.verb = wire::KeepVerb::delivered;
    send(keeper_.get(), &complete, sizeof(complete), MSG_NOSIGNAL);
}

void Stage::deliver(wire::KeepClass keep_class, std::uint64_t id, int descriptor) {
    wire::KeepMessage message;
    message.key.keep_class = keep_class;
    message.key.id = id;
    char control[CMSG_SPACE(sizeof(int))] = {};
    iovec part{&message, sizeof(message)};
    msghdr envelope{};
    envelope.msg_iov = &part;
    envelope.msg_iovlen = 1;
    envelope.msg_control = control;
    envelope.msg_controllen = sizeof(control);
    cmsghdr* header = CMSG_FIRSTHDR(&envelope);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int));
    std::memcpy(CMSG_DATA(header), &descriptor, sizeof(int));
    sendmsg(keeper_.get(), &envelope, MSG_NOSIGNAL);
}

void Stage::run() {
    setpriority(PRIO_PROCESS, static_cast<id_t>(gettid()),
                -19);  // where permitted: a busy machine is no part of the test
    for (;;) {
        std::vector<pollfd> waits;
        for (const int descriptor :
             {stop_.get(), handover_ours_.get(), supervisor_wakeup_.get(), keeper_.get(), enforcer_.get()}) {
            waits.push_back({descriptor, POLLIN, 0});
        }
        int timeout = -1;
        {
            const std::lock_guard lock(mutex_);
            for (const int descriptor : pool_->descriptors()) {
                waits.push_back({descriptor, POLLIN, 0});
            }
            if (pool_->deadline()) {
                timeout = 5;
            }
        }
        if (poll(waits.data(), waits.size(), timeout) < 0) {
            continue;
        }
        if (waits[0].revents != 0) {
            return;
        }
        const std::lock_guard lock(mutex_);
        if (waits[4].revents != 0) {
            siginfo_t ended{};
            waitid(P_PIDFD, static_cast<id_t>(enforcer_.get()), &ended, WEXITED);
            ++restarts_;
            start_enforcer();
            continue;
        }
        if (waits[1].revents != 0) {
            hear_handover();
        }
        if (waits[3].revents != 0) {
            hear_enforcer();
        }
        for (std::size_t i = 5; i < waits.size(); ++i) {
            if (waits[i].revents != 0) {
                pool_->on_readable(waits[i].fd);
            }
        }
        pool_->on_deadline(std::chrono::steady_clock::now());
        if (waits[2].revents != 0) {
            drain(supervisor_wakeup_);
            if (swallow_.exchange(0) == 0) {
                supervise();
            }
        }
    }
}

void Stage::hear_handover() {
    wire::HandoverMessage message;
    int passed[2] = {-1, -1};
    char control[CMSG_SPACE(sizeof(passed))] = {};
    iovec part{&message, sizeof(message)};
    msghdr envelope{};
    envelope.msg_iov = &part;
    envelope.msg_iovlen = 1;
    envelope.msg_control = control;
    envelope.msg_controllen = sizeof(control);
    if (recvmsg(handover_ours_.get(), &envelope, MSG_CMSG_CLOEXEC | MSG_DONTWAIT) != sizeof(message)) {
        return;
    }
    const cmsghdr* header = CMSG_FIRSTHDR(&envelope);
    if (header == nullptr || header->cmsg_len != CMSG_LEN(sizeof(passed))) {
        return;
    }
    std::memcpy(passed, CMSG_DATA(header), sizeof(passed));
    listeners_[message.listener_key].reset(passed[0]);
    deliver(wire::KeepClass::listener, message.listener_key, passed[0]);
    const char byte = 1;
    static_cast<void>(!write(passed[1], &byte, 1));
    close(passed[1]);
}

void Stage::hear_enforcer() {
    wire::KeepMessage message;
    while (recv(keeper_.get(), &message, sizeof(message), MSG_DONTWAIT) == sizeof(message)) {
        if (message.verb == wire::KeepVerb::drop) {
            listeners_.erase(message.key.id);
        }
    }
}

void Stage::supervise() {
    if (!client_->recounts_wanted().empty()) {
        ++recounts_;
    }
    recounter_->run();
    for (const launch::ParkedCall& call : client_->take_parked()) {
        if (call.trap_class == wire::TrapClass::policy) {
            policies_->take(call);
        } else {
            affinity_->take(call);
        }
    }
    refusals_ += client_->read_refusals().size();
    for (const std::uint64_t key : client_->closed_domains()) {
        client_->remove_domain(key);
    }
}

std::uint64_t Stage::count(launch::GroupKey group, wire::BudgetKind kind) {
    std::uint64_t total = 0;
    for (const auto& [session, place] : sessions_) {
        for (launch::GroupKey at = place; at != 0; at = parent_of(at)) {
            if (at == group) {
                const SessionCount counted = count_members(session);
                total += kind == wire::BudgetKind::processes ? counted.processes : counted.tasks;
                break;
            }
        }
    }
    return total;
}

// As if a request waited on each.
void Stage::recount(const std::vector<launch::BudgetRow>& rows) {
    for (const launch::BudgetRow row : rows) {
        client_->budget(row).recount_wanted.store(launch::monotonic_ns());
    }
    recounter_->run();
}

void Stage::limit(launch::GroupKey group, std::uint64_t most, wire::BudgetKind kind) {
    const std::lock_guard lock(mutex_);
    const auto row = client_->publish({group, kind, most, EAGAIN});
    REQUIRE(row.has_value());
    recount({*row});
}

Service Stage::start(launch::LaunchRequest request, launch::GroupKey group,
                     std::vector<wire::TrapClass> classes) {
    Service service;
    service.key = ++next_key_;
    PipeEnds input = make_pipe();
    PipeEnds output = make_pipe();
    request.standard_input = input.reader.get();
    request.standard_output = output.writer.get();
    request.listener_key = service.key;
    request.handover = handover_theirs_.get();
    {
        const std::lock_guard lock(mutex_);
        auto filter = filters_.get(classes);
        REQUIRE(filter.has_value());
        request.filter = *filter;
        REQUIRE(client_->set_domain(service.key, {group, group, group}).has_value());
    }
    service.started = start_by_agent(request, *slots_);
    service.input = std::move(input.writer);
    service.output = std::move(output.reader);
    REQUIRE(readable(service.started.status.get(), 30s));
    const auto failure = slots_->failure(service.started.slot);
    INFO("step " << (failure ? launch::step_name(failure->step) : "none") << ": "
                 << (failure ? std::strerror(failure->error) : ""));
    REQUIRE_FALSE(failure.has_value());
    const std::lock_guard lock(mutex_);
    sessions_[service.started.pid] = group;
    std::vector<launch::BudgetRow> rows;
    client_->for_each_budget([&](launch::BudgetRow row) { rows.push_back(row); });
    recount(rows);
    return service;
}

void Stage::move(pid_t pid, std::uint64_t key, launch::GroupKey group) {
    const std::lock_guard lock(mutex_);
    REQUIRE(client_->set_override(pid, key, {group, group, group}).has_value());
    sessions_[pid] = group;
    std::vector<launch::BudgetRow> rows;
    client_->for_each_budget([&](launch::BudgetRow row) { rows.push_back(row); });
    recount(rows);
}

std::uint64_t Stage::failcnt(launch::GroupKey group) {
    const std::lock_guard lock(mutex_);
    const auto row = client_->find(group, wire::BudgetKind::tasks);
    REQUIRE(row.has_value());
    return client_->budget(*row).failcnt.load();
}

std::size_t Stage::refusals() {
    const std::lock_guard lock(mutex_);
    refusals_ += client_->read_refusals().size();
    return refusals_;
}

void Stage::swallow_answer() {
    drain(enforce_wakeup_);
}

void Stage::stop_enforcer() {
    syscall(SYS_pidfd_send_signal, enforcer_.get(), SIGSTOP, nullptr, 0);
}

void Stage::kill_enforcer() {
    const std::lock_guard lock(mutex_);
    syscall(SYS_pidfd_send_signal, enforcer_.get(), SIGKILL, nullptr, 0);
}

void Stage::deliver_table_of_another_version() {
    Fd memory(memfd_create("other", MFD_CLOEXEC));
    const std::uint32_t version = wire::enforcement_version + 1;
    REQUIRE(write(memory.get(), &version, sizeof version) == sizeof version);
    deliver(wire::KeepClass::enforcement_table, 0, memory.get());
}

bool Stage::received_settles(std::uint64_t least, std::chrono::milliseconds within) const {
    const auto end = std::chrono::steady_clock::now() + within;
    std::uint64_t before = 0;
    while (std::chrono::steady_clock::now() < end) {
        const std::uint64_t now = received();
        if (now >= least && now == before) {
            return true;
        }
        before = now;
        poll(nullptr, 0, 200);
    }
    return false;
}

bool Stage::all_listeners_dropped(std::chrono::milliseconds within) {
    const auto end = std::chrono::steady_clock::now() + within;
    while (std::chrono::steady_clock::now() < end) {
        {
            const std::lock_guard lock(mutex_);
            if (listeners_.empty()) {
                return true;
            }
        }
        poll(nullptr, 0, 5);
    }
    return false;
}

base::Result<base::CpuList> Stage::allowed(pid_t, pid_t) {
    return allowed_cpus;
}

}  // namespace gpcsup::test
