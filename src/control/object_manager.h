#pragma once
// The vtable of org.gpcsup1.Manager: reads each method's arguments, calls the Handler, writes the reply.
// Internal to the server.

#include <systemd/sd-bus.h>

#include <deque>

#include "control/handler.h"

namespace gpcsup::control {

// The sizes of the messages that wait to be written, oldest first: the bus library tells their number only.
class Outbox {
  public:
    void add(std::size_t bytes) {
        sizes_.push_back(bytes);
        bytes_ += bytes;
    }
    // So many wait still; the older ones have been written.
    void left(std::uint64_t messages) {
        while (sizes_.size() > messages) {
            bytes_ -= sizes_.front();
            sizes_.pop_front();
        }
    }
    [[nodiscard]] std::size_t bytes() const { return bytes_; }

  private:
    std::deque<std::size_t> sizes_;
    std::size_t bytes_ = 0;
};

// What a method's implementation is given as its user data.
struct Session {
    Handler& handler;
    Caller caller;
    std::function<void()> subscribe;
    Outbox outbox;
};

[[nodiscard]] const sd_bus_vtable* manager_vtable();

// A Result as the return value of a vtable function: sets the D-Bus error and its whole sentence.
int report(sd_bus_error* out, const base::Error& error);

// Adds the objects below /org/gpcsup1/unit, /org/gpcsup1/hierarchy and /org/gpcsup1/group. Negative errno as
// sd-bus.
int add_objects(sd_bus* bus, Session& session);

}  // namespace gpcsup::control
