#pragma once
// One message in, one message out, on a helper's SEQPACKET socket: framing and descriptors, no meaning.

#include <cstdint>

#include "wire/keep.h"

namespace gpcsup::init {

enum class Sent {
    done,
    full,    // the socket's buffer: wait for POLLOUT
    denied,  // the kernel has no room for descriptors in flight (ETOOMANYREFS, ENOBUFS): no event tells when
             // it has
    gone,    // nobody is at the other end
};

// DESCRIPTOR goes with the message unless it is negative; it stays open here.
Sent send_message(int socket, const wire::KeepMessage& message, int descriptor);

enum class Got { message, nothing, malformed, closed };

struct Received {
    Got got = Got::nothing;
    wire::KeepMessage message;
    int descriptor = -1;     // close-on-exec; the caller's
    bool truncated = false;  // a descriptor was sent and could not be taken in: this process has too many
};

Received receive_message(int socket);

struct ReceivedHandover {
    Got got = Got::nothing;
    wire::HandoverMessage message;
    int listener = -1;
    int answer = -1;
    bool truncated = false;
};

ReceivedHandover receive_handover(int socket);

}  // namespace gpcsup::init
