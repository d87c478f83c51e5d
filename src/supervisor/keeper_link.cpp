#include "supervisor/keeper_link.h"

#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>

namespace gpcsup::supervisor {

namespace {

constexpr char init_name[] = "gpc-init";
constexpr std::chrono::seconds answer_patience{5};

base::Result<> wait_for(int descriptor, short events, int timeout_ms) {
    pollfd one{descriptor, events, 0};
    const int ready = poll(&one, 1, timeout_ms);
    if (ready < 0 && errno != EINTR) {
        return base::fail(errno, "wait for", init_name);
    }
    if (ready == 0) {
        return base::fail(ETIMEDOUT, "wait for", init_name);
    }
    return {};
}

}  // namespace

base::Result<std::optional<KeeperLink::Arrival>> KeeperLink::receive() {
    if (!waiting_.empty()) {
        std::optional<Arrival> first(std::move(waiting_.front()));
        waiting_.pop_front();
        return first;
    }
    return receive_now();
}

void KeeperLink::on_waiting(std::function<void()> call) {
    on_waiting_ = std::move(call);
    if (!waiting_.empty()) {
        on_waiting_();
    }
}

base::Result<std::optional<KeeperLink::Arrival>> KeeperLink::receive_now() {
    Arrival arrival;
    iovec data{&arrival.message, sizeof arrival.message};
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))];
    msghdr header{};
    header.msg_iov = &data;
    header.msg_iovlen = 1;
    header.msg_control = control;
    header.msg_controllen = sizeof control;
    const ssize_t got = recvmsg(socket_.get(), &header, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
        return std::optional<Arrival>();
    }
    if (got < 0) {
        return base::fail(errno, "hear from", init_name);
    }
    if (got == 0) {
        return base::fail(EPIPE, "hear from", init_name);
    }
    for (cmsghdr* part = CMSG_FIRSTHDR(&header); part != nullptr; part = CMSG_NXTHDR(&header, part)) {
        if (part->cmsg_level == SOL_SOCKET && part->cmsg_type == SCM_RIGHTS) {
            int number = -1;
            std::memcpy(&number, CMSG_DATA(part), sizeof number);
            arrival.descriptor.reset(number);
        }
    }
    if (got != sizeof arrival.message || arrival.message.version != wire::keep_version) {
        return base::fail(EPROTO, "understand", init_name,
                          "programs of different versions are running; use `gpcsup reexec`");
    }
    return std::optional(std::move(arrival));
}

base::Result<> KeeperLink::receive_all() {
    while (true) {
        auto arrival = receive();
        if (!arrival) {
            return base::pass(arrival);
        }
        if (!*arrival) {
            if (auto ready = wait_for(socket_.get(), POLLIN, 10'000); !ready) {
                return ready;
            }
            continue;
        }
        wire::KeepMessage& message = (*arrival)->message;
        if (message.verb == wire::KeepVerb::delivered) {
            abilities_ = message.key.id;
            return {};
        }
        if (message.verb == wire::KeepVerb::deliver) {
            message.name[sizeof message.name - 1] = '\0';
            kept_[{message.key.keep_class, message.key.id}] = {std::move((*arrival)->descriptor),
                                                               message.name};
        }
    }
}

base::Fd KeeperLink::take(wire::KeepClass keep_class, std::uint64_t id) {
    auto found = kept_.extract({keep_class, id});
    return found.empty() ? base::Fd() : std::move(found.mapped().descriptor);
}

std::map<std::uint64_t, Kept> KeeperLink::take_all(wire::KeepClass keep_class) {
    std::map<std::uint64_t, Kept> taken;
    for (auto at = kept_.lower_bound({keep_class, 0}); at != kept_.end() && at->first.first == keep_class;) {
        taken.emplace(at->first.second, std::move(at->second));
        at = kept_.erase(at);
    }
    return taken;
}

base::Result<> KeeperLink::keep(wire::KeepClass keep_class, std::uint64_t id, std::string_view name,
                                int descriptor) {
    wire::KeepMessage message;
    message.verb = wire::KeepVerb::keep;
    message.key = {keep_class, 0, id};
    const bool answered_by_it = (abilities_ & wire::init_answers_keep) != 0;
    message.argument = answered_by_it ? ++last_question_ : 0;
    std::memcpy(message.name, name.data(), std::min(name.size(), sizeof message.name - 1));
    if (auto sent = transmit(message, descriptor); !sent || !answered_by_it) {
        return sent;
    }
    auto answered = await_answer(message);
    if (!waiting_.empty() && on_waiting_) {
        on_waiting_();
    }
    return answered;
}

base::Result<> KeeperLink::await_answer(const wire::KeepMessage& request) {
    const auto deadline = std::chrono::steady_clock::now() + answer_patience;
    while (true) {
        auto arrival = receive_now();
        if (!arrival) {
            return base::pass(arrival);
        }
        if (!*arrival) {
            const auto left =
                std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
            if (auto ready = wait_for(socket_.get(), POLLIN, std::max(0, static_cast<int>(left.count())));
                !ready) {
                return ready;
            }
            continue;
        }
        const wire::KeepMessage& answer = (*arrival)->message;
        if (answer.argument == request.argument && answer.verb == wire::KeepVerb::kept) {
            return {};
        }
        if (answer.argument == request.argument && answer.verb == wire::KeepVerb::dropped) {
            return base::fail(EMFILE, "have gpc-init keep", request.name);
        }
        waiting_.push_back(std::move(**arrival));
    }
}

base::Result<> KeeperLink::drop(wire::KeepClass keep_class, std::uint64_t id) {
    wire::KeepMessage message;
    message.verb = wire::KeepVerb::drop;
    message.key = {keep_class, 0, id};
    return transmit(message, -1);
}

base::Result<> KeeperLink::send(wire::KeepVerb verb, std::uint64_t argument) {
    wire::KeepMessage message;
    message.verb = verb;
    message.argument = argument;
    return transmit(message, -1);
}

base::Result<> KeeperLink::transmit(const wire::KeepMessage& message, int descriptor) {
    iovec data{const_cast<wire::KeepMessage*>(&message), sizeof message};
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
    msghdr header{};
    header.msg_iov = &data;
    header.msg_iovlen = 1;
    if (descriptor >= 0) {
        header.msg_control = control;
        header.msg_controllen = sizeof control;
        cmsghdr* part = CMSG_FIRSTHDR(&header);
        part->cmsg_level = SOL_SOCKET;
        part->cmsg_type = SCM_RIGHTS;
        part->cmsg_len = CMSG_LEN(sizeof(int));
        std::memcpy(CMSG_DATA(part), &descriptor, sizeof descriptor);
    }
    while (sendmsg(socket_.get(), &header, MSG_NOSIGNAL | MSG_DONTWAIT) < 0) {
        if (errno == EAGAIN) {
            if (auto ready = wait_for(socket_.get(), POLLOUT, 1'000); !ready) {
                return ready;
            }
        } else if (errno != EINTR) {
            return base::fail(errno, "tell", init_name);
        }
    }
    return {};
}

}  // namespace gpcsup::supervisor
