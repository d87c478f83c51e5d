#pragma once
// The server's end of the control bus: accepts connections on RUNTIME/control, speaks D-Bus peer to peer on
// each through sd-bus, and calls a Handler. It knows no unit. A client that does not read is dropped when its
// queue is full, so none can block the loop; at most max_connections are held at once.

#include <systemd/sd-bus.h>
#include <systemd/sd-event.h>

#include <list>
#include <memory>

#include "control/handler.h"

namespace gpcsup::control {

inline constexpr std::size_t max_connections = 64;
inline constexpr std::uint64_t max_queued_messages = 512;  // to one client

class Server {
  public:
    // `listener` is a listening SOCK_STREAM socket; the server uses it and does not own it. `event` and
    // `handler` outlive it.
    Server(sd_event* event, int listener, Handler& handler);
    ~Server();
    Server(const Server&) = delete;
    Server& operator=(const Server&) = delete;

    base::Result<> start();
    void emit(const std::string& event);  // the signal Event to every subscribed connection
    [[nodiscard]] bool has_subscribers() const;
    void flush();  // writes what is queued, without waiting for slow readers; before gpcsupd ends

    struct Connection;

  private:
    static int accepted(sd_event_source* source, int descriptor, std::uint32_t events, void* server);
    void adopt(base::Fd socket);
    friend struct Connection;

    sd_event* event_;
    int listener_;
    Handler& handler_;
    sd_event_source* source_ = nullptr;
    std::list<std::unique_ptr<Connection>> connections_;
    std::uint64_t next_connection_ = 1;
};

}  // namespace gpcsup::control
