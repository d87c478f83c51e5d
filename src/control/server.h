#pragma once
// The server's end of the control bus: accepts connections on RUNTIME/control, speaks D-Bus peer to peer on
// each through sd-bus, and calls a Handler. It knows no unit. A client that does not read is dropped when too
// much waits for it, answers and events alike, so none can block the loop or take the memory; who gets one of
// the connections is in admission.h.

#include <systemd/sd-bus.h>
#include <systemd/sd-event.h>

#include <list>
#include <memory>

#include "control/handler.h"

namespace gpcsup::control {

// To one client. A single answer may be larger; a second one then may not wait behind it.
inline constexpr std::uint64_t max_queued_messages = 512;
inline constexpr std::size_t max_queued_bytes = 4u << 20;

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
    static int sweep(sd_event_source* source, void* server);
    friend struct Connection;

    sd_event* event_;
    int listener_;
    Handler& handler_;
    sd_event_source* source_ = nullptr;
    sd_event_source* sweep_source_ = nullptr;
    std::list<std::unique_ptr<Connection>> connections_;
    std::uint64_t next_connection_ = 1;
};

}  // namespace gpcsup::control
