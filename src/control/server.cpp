#include "control/server.h"

#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <vector>

#include "control/admission.h"
#include "control/object_manager.h"

namespace gpcsup::control {

struct Server::Connection {
    Connection(Server& owner, std::uint64_t count)
        : server(owner), number(count), session{owner.handler_, {}, [this] { subscribed = true; }, {}} {}
    ~Connection() {
        if (bus != nullptr) {
            sd_bus_detach_event(bus);
            sd_bus_close(bus);
            sd_bus_unref(bus);
        }
    }
    Connection(const Connection&) = delete;
    Connection& operator=(const Connection&) = delete;

    int open(base::Fd socket, const ucred& peer);
    // Its client does not read: more waits for it than is kept.
    [[nodiscard]] bool is_overfull();

    Server& server;
    std::uint64_t number;
    Session session;
    sd_bus* bus = nullptr;
    bool subscribed = false;
    bool closing = false;
};

namespace {

// Clients that take this for a message bus (busctl with --address) begin with its Hello.
int message_bus_hello(sd_bus_message* call, void*, sd_bus_error*) {
    if (sd_bus_message_is_method_call(call, "org.freedesktop.DBus", "Hello") > 0) {
        return sd_bus_reply_method_return(call, "s", ":1.1");
    }
    return 0;
}

int disconnected(sd_bus_message* signal, void* data, sd_bus_error*) {
    if (sd_bus_message_is_signal(signal, "org.freedesktop.DBus.Local", "Disconnected") > 0) {
        static_cast<Server::Connection*>(data)->closing = true;
    }
    return 0;
}

}  // namespace

bool Server::Connection::is_overfull() {
    std::uint64_t messages = 0;
    if (sd_bus_get_n_queued_write(bus, &messages) < 0) {
        return false;  // it is not open any more
    }
    session.outbox.left(messages);
    return messages > max_queued_messages || (messages > 1 && session.outbox.bytes() > max_queued_bytes);
}

int Server::Connection::open(base::Fd socket, const ucred& peer) {
    session.caller = {peer.uid, peer.pid, number};
    sd_id128_t id;
    int code = sd_id128_randomize(&id);
    code = code < 0 ? code : sd_bus_new(&bus);
    code = code < 0 ? code : sd_bus_set_fd(bus, socket.get(), socket.get());
    if (code < 0) {
        return code;
    }
    (void)socket.release();  // the bus closes it
    code = sd_bus_set_server(bus, 1, id);
    code = code < 0 ? code : sd_bus_negotiate_fds(bus, 1);
    code = code < 0
               ? code
               : sd_bus_set_anonymous(bus, 1);  // credentials come from the socket, not from the handshake
    code = code < 0 ? code : sd_bus_set_trusted(bus, 1);
    code = code < 0 ? code : sd_bus_add_filter(bus, nullptr, message_bus_hello, nullptr);
    code = code < 0 ? code : sd_bus_add_filter(bus, nullptr, ::gpcsup::control::disconnected, this);
    code = code < 0 ? code
                    : sd_bus_add_object_vtable(bus, nullptr, "/org/gpcsup1", "org.gpcsup1.Manager",
                                               manager_vtable(), &session);
    code = code < 0 ? code : add_objects(bus, session);
    code = code < 0 ? code : sd_bus_start(bus);
    code = code < 0 ? code : sd_bus_attach_event(bus, server.event_, SD_EVENT_PRIORITY_NORMAL);
    return code;
}

Server::Server(sd_event* event, int listener, Handler& handler)
    : event_(event), listener_(listener), handler_(handler) {}

Server::~Server() {
    sd_event_source_disable_unref(source_);
    sd_event_source_disable_unref(sweep_source_);
    connections_.clear();
}

base::Result<> Server::start() {
    int code = sd_event_add_io(event_, &source_, listener_, EPOLLIN, accepted, this);
    if (code >= 0) {
        code = sd_event_add_post(event_, &sweep_source_, sweep, this);
    }
    if (code < 0) {
        return base::fail(-code, "serve", "the control socket");
    }
    return {};
}

int Server::accepted(sd_event_source*, int descriptor, std::uint32_t, void* data) {
    auto& server = *static_cast<Server*>(data);
    base::Fd socket(accept4(descriptor, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (socket) {
        server.adopt(std::move(socket));
    }
    return 0;
}

void Server::adopt(base::Fd socket) {
    ucred peer{};
    socklen_t length = sizeof peer;
    if (getsockopt(socket.get(), SOL_SOCKET, SO_PEERCRED, &peer, &length) != 0) {
        return;
    }
    std::vector<uid_t> held;
    held.reserve(connections_.size());
    for (const auto& connection : connections_) {
        held.push_back(connection->session.caller.uid);
    }
    if (admit(held, peer.uid, geteuid()) == Admission::refused) {
        return;  // closing the socket is the answer: the client sees the end at once and may try again
    }
    auto connection = std::make_unique<Connection>(*this, next_connection_++);
    if (connection->open(std::move(socket), peer) >= 0) {
        connections_.push_back(std::move(connection));
    }
}

// After every round of the loop, which answers one call of each client at most. Connections are freed here
// and not inside a callback of their own bus.
int Server::sweep(sd_event_source*, void* data) {
    auto& connections = static_cast<Server*>(data)->connections_;
    for (auto at = connections.begin(); at != connections.end();) {
        if ((*at)->closing || sd_bus_is_open((*at)->bus) <= 0 || (*at)->is_overfull()) {
            auto gone = std::move(*at);
            at = connections.erase(at);
            sd_bus_close(gone->bus);  // what waited for it has nowhere to go
            gone->session.handler.disconnected(gone->number);
        } else {
            ++at;
        }
    }
    return 0;
}

void Server::emit(const std::string& event) {
    for (const auto& connection : connections_) {
        if (!connection->subscribed || connection->closing) {
            continue;
        }
        if (connection->is_overfull()) {
            connection->closing = true;
            continue;
        }
        connection->session.outbox.add(event.size());
        sd_bus_emit_signal(connection->bus, "/org/gpcsup1", "org.gpcsup1.Manager", "Event", "s",
                           event.c_str());
    }
}

bool Server::has_subscribers() const {
    return std::any_of(connections_.begin(), connections_.end(),
                       [](const auto& one) { return one->subscribed; });
}

void Server::flush() {
    for (const auto& connection : connections_) {
        while (sd_bus_is_open(connection->bus) > 0 && sd_bus_process(connection->bus, nullptr) > 0) {
        }
    }
}

}  // namespace gpcsup::control
