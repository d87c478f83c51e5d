#pragma once
// The vtable of org.gpcsup1.Manager: reads each method's arguments, calls the Handler, writes the reply.
// Internal to the server.

#include <systemd/sd-bus.h>

#include "control/handler.h"

namespace gpcsup::control {

// What a method's implementation is given as its user data.
struct Session {
    Handler& handler;
    Caller caller;
    std::function<void()> subscribe;
};

[[nodiscard]] const sd_bus_vtable* manager_vtable();

// A Result as the return value of a vtable function: sets the D-Bus error and its whole sentence.
int report(sd_bus_error* out, const base::Error& error);

// Adds the objects below /org/gpcsup1/unit and /org/gpcsup1/group. Negative errno as sd-bus.
int add_objects(sd_bus* bus, Session& session);

}  // namespace gpcsup::control
