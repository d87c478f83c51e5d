#pragma once
// One client's connection to RUNTIME/control: sends a method call and waits for its answer, and connects
// again when the supervisor is replaced meanwhile. Knows the transport only; what the methods mean is in
// client.h.
//
// Everything waits in one place (poll on the bus, with a deadline), and a Companion may have descriptors of
// its own tended there: nothing in here blocks a terminal relay or a signal.

#include <poll.h>

#include <chrono>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/fd.h"
#include "base/result.h"

struct sd_bus;
struct sd_bus_message;
struct sd_bus_slot;

namespace gpcsup::control {

struct BusCloser {
    void operator()(sd_bus* bus) const;
    void operator()(sd_bus_message* message) const;
    void operator()(sd_bus_slot* slot) const;
};
using Message = std::unique_ptr<sd_bus_message, BusCloser>;

enum class Attention { go_on, interrupt };  // interrupt: the call that is being waited for ends with EINTR

// What else is to be looked after while a call is under way.
class Companion {
  public:
    virtual ~Companion() = default;
    virtual void watch(std::vector<pollfd>& descriptors) = 0;         // adds its own
    virtual Attention tend(std::span<const pollfd> descriptors) = 0;  // the same ones, after poll(2)
};

// What to do when the connection breaks between a call and its answer.
enum class Repeat {
    yes,    // the same call once more is harmless
    never,  // EPIPE: the caller has to find out
};
enum class Sent { once, repeatedly };
enum class Carries { text, descriptors };  // descriptors can be sent only once the handshake is over

struct Request {
    const char* method = nullptr;
    std::function<int(sd_bus_message*)> arguments;  // appends them; null = none
    Repeat repeat = Repeat::yes;
    Carries carries = Carries::text;
    std::chrono::nanoseconds patience{};  // for the answer; 0 = for ever
    Companion* companion = nullptr;
};

struct Answer {
    Message message;
    Sent sent = Sent::once;
};

struct Patience {
    std::chrono::milliseconds refused{
        2000};  // nobody listens: gpc-init keeps the socket open, so it is gone, or re-executing
    std::chrono::milliseconds silent{30000};  // connected, but broken off again and again
};

class Connection {
  public:
    explicit Connection(std::string runtime, Patience patience = {});
    Connection(const Connection&) = delete;
    Connection& operator=(const Connection&) = delete;
    ~Connection();

    // The first connection: ENOTCONN at once where nobody listens.
    base::Result<> open();
    base::Result<Answer> exchange(const Request& request);

    // The next signal Event since the last call; nothing when the connection had to be made anew (the caller
    // has missed what came between, and has to subscribe again). EINTR when the companion interrupts.
    base::Result<std::optional<std::string>> next_event(Companion* companion);

    // Until nobody listens any more; ETIMEDOUT after TIMEOUT (0 = none).
    base::Result<> wait_gone(std::chrono::nanoseconds timeout);

    [[nodiscard]] const std::string& runtime() const { return runtime_; }

  private:
    using Clock = std::chrono::steady_clock;
    struct Waiting;  // an exchange under way
    static int on_reply(sd_bus_message* message, void* waiting, void* error);
    static int on_event(sd_bus_message* message, void* self, void* error);

    base::Result<> attempt();  // one connect(2) and the start of the handshake
    base::Result<> reconnect(Companion* companion);
    base::Result<Message> build(const Request& request);
    base::Result<> transmit(const Request& request, Waiting& waiting);
    base::Result<> pump(Companion* companion, Clock::time_point deadline);  // ECONNRESET: lost
    base::Result<> pause(Companion* companion, Clock::time_point deadline);
    void drop();
    base::Result<> note_failure();  // ENOTCONN when that has gone on for too long

    std::string runtime_;
    Patience patience_;
    std::unique_ptr<sd_bus, BusCloser> bus_;
    std::unique_ptr<sd_bus_slot, BusCloser> events_slot_;
    std::deque<std::string> events_;
    unsigned failures_ = 0;           // connections broken off in a row before they served
    Clock::time_point broken_since_;  // the first of them
};

}  // namespace gpcsup::control
