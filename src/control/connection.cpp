#include "control/connection.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <systemd/sd-bus.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "control/errors.h"

namespace gpcsup::control {

namespace {

using std::chrono::milliseconds;

constexpr char object_path[] = "/org/gpcsup1";
constexpr char interface_name[] = "org.gpcsup1.Manager";
constexpr std::size_t most_events =
    65536;  // unread signals; beyond that the stream reads them from the journal again
constexpr milliseconds retry_interval{50};

// A path longer than sun_path is reached through the directory's descriptor.
base::Result<int> connect_socket(const std::string& runtime) {
    base::Fd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!socket) {
        return base::fail(errno, "make", "a socket");
    }
    std::string path = runtime + "/control";
    base::Fd directory;
    if (path.size() >= sizeof(sockaddr_un::sun_path)) {
        directory.reset(::open(runtime.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
        if (!directory) {
            return base::fail(errno, "open", runtime);
        }
        path = "/proc/self/fd/" + std::to_string(directory.get()) + "/control";
    }
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
    if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) < 0) {
        return base::fail(errno, "connect to", runtime + "/control");
    }
    return socket.release();
}

std::unexpected<base::Error> not_in_time(const Request& request) {
    return base::refuse(ETIMEDOUT,
                        "the supervisor did not answer " + std::string(request.method) + " in time");
}

bool broken_off(int code) {
    return code == ECONNRESET || code == EPIPE || code == ENOTCONN;
}

bool nobody_listens(int code) {
    return code == ECONNREFUSED || code == ENOENT;
}

}  // namespace

void BusCloser::operator()(sd_bus* bus) const {
    sd_bus_close_unref(bus);
}
void BusCloser::operator()(sd_bus_message* message) const {
    sd_bus_message_unref(message);
}
void BusCloser::operator()(sd_bus_slot* slot) const {
    sd_bus_slot_unref(slot);
}

struct Connection::Waiting {
    Message reply;
    base::Error error;
    enum class State { pending, answered, refused, lost } state = State::pending;
    std::unique_ptr<sd_bus_slot, BusCloser> slot;
};

Connection::Connection(std::string runtime, Patience patience)
    : runtime_(std::move(runtime)), patience_(patience) {}

Connection::~Connection() = default;

void Connection::drop() {
    events_slot_.reset();
    bus_.reset();
}

int Connection::on_reply(sd_bus_message* message, void* userdata, void*) {
    auto& waiting = *static_cast<Waiting*>(userdata);
    const sd_bus_error* error = sd_bus_message_get_error(message);
    if (error == nullptr) {
        waiting.reply.reset(sd_bus_message_ref(message));
        waiting.state = Waiting::State::answered;
    } else if (std::strcmp(error->name, SD_BUS_ERROR_NO_REPLY) == 0 ||
               std::strcmp(error->name, SD_BUS_ERROR_DISCONNECTED) == 0) {
        waiting.state = Waiting::State::lost;  // what the library says to every open call when the peer goes
    } else {
        waiting.error = error_from_bus(error->name, error->message != nullptr ? error->message : "");
        waiting.state = Waiting::State::refused;
    }
    return 1;
}

int Connection::on_event(sd_bus_message* message, void* userdata, void*) {
    auto& self = *static_cast<Connection*>(userdata);
    const char* text = nullptr;
    if (sd_bus_message_read(message, "s", &text) >= 0 && self.events_.size() < most_events) {
        self.events_.emplace_back(text);
    }
    return 1;
}

base::Result<> Connection::attempt() {
    drop();
    auto socket = connect_socket(runtime_);
    if (!socket) {
        return base::pass(socket);
    }
    base::Fd owned(*socket);
    sd_bus* fresh = nullptr;
    if (const int r = sd_bus_new(&fresh); r < 0) {
        return base::fail(-r, "make", "a bus connection");
    }
    bus_.reset(fresh);
    int r = sd_bus_set_fd(fresh, owned.get(), owned.get());
    if (r >= 0) {
        static_cast<void>(owned.release());
        r = sd_bus_negotiate_fds(fresh, 1);
    }
    if (r >= 0) {
        r = sd_bus_start(fresh);
    }
    sd_bus_slot* slot = nullptr;
    if (r >= 0) {
        r = sd_bus_match_signal(
            fresh, &slot, nullptr, nullptr, interface_name, "Event",
            [](sd_bus_message* m, void* self, sd_bus_error* e) { return on_event(m, self, e); }, this);
    }
    if (r < 0) {
        bus_.reset();
        return base::fail(broken_off(-r) ? ECONNRESET : -r, "connect to", runtime_ + "/control");
    }
    events_slot_.reset(slot);
    return {};
}

base::Result<> Connection::open() {
    const Clock::time_point end = Clock::now() + patience_.silent;
    for (;;) {
        auto tried = attempt();
        if (tried) {
            return {};
        }
        const int code = tried.error().code;
        // EAGAIN: the queue of those who want to connect is full
        if ((code == EAGAIN || code == ECONNRESET) && Clock::now() < end) {
            if (auto paused = pause(nullptr, Clock::now() + retry_interval); !paused) {
                return paused;
            }
            continue;
        }
        if (nobody_listens(code) || code == ENOTDIR) {
            return base::refuse(unreachable_code, "no supervisor answers on " + runtime_ + "/control");
        }
        return tried;
    }
}

base::Result<> Connection::note_failure() {
    const Clock::time_point now = Clock::now();
    if (failures_++ == 0) {
        broken_since_ = now;
    }
    if (now - broken_since_ > patience_.silent) {
        return base::refuse(unreachable_code,
                            "the supervisor on " + runtime_ + "/control breaks every connection off");
    }
    return {};
}

// gpc-init keeps the listening socket while gpcsupd is replaced, so connecting normally succeeds at once and
// the new gpcsupd answers when it has replayed.
base::Result<> Connection::reconnect(Companion* companion) {
    const Clock::time_point start = Clock::now();
    drop();
    for (;;) {
        if (auto noted = note_failure(); !noted) {
            return noted;
        }
        if (failures_ > 1) {  // the first time there is nothing to wait for
            const auto delay = std::min(retry_interval * (failures_ - 1), milliseconds(500));
            if (auto paused = pause(companion, Clock::now() + delay); !paused) {
                return paused;
            }
        }
        auto tried = attempt();
        if (tried) {
            return {};
        }
        const int code = tried.error().code;
        if (nobody_listens(code) && Clock::now() - start > patience_.refused) {
            return base::refuse(unreachable_code, "the supervisor on " + runtime_ + "/control has ended");
        }
        if (!nobody_listens(code) && code != EAGAIN && code != ECONNRESET) {
            return tried;
        }
    }
}

base::Result<Message> Connection::build(const Request& request) {
    sd_bus_message* raw = nullptr;
    int r = sd_bus_message_new_method_call(bus_.get(), &raw, nullptr, object_path, interface_name,
                                           request.method);
    Message message(raw);
    if (r >= 0 && request.arguments) {
        r = request.arguments(raw);
    }
    if (r < 0) {
        return base::fail(-r, "call", request.method);
    }
    return message;
}

base::Result<> Connection::transmit(const Request& request, Waiting& waiting) {
    while (request.carries == Carries::descriptors && sd_bus_is_ready(bus_.get()) <= 0) {
        if (auto step = pump(request.companion, Clock::now() + patience_.silent); !step) {
            return step;
        }
    }
    auto message = build(request);
    if (!message) {
        return base::pass(message);
    }
    waiting.slot.reset();
    waiting.state = Waiting::State::pending;
    sd_bus_slot* slot = nullptr;
    const int r = sd_bus_call_async(
        bus_.get(), &slot, message->get(),
        [](sd_bus_message* m, void* w, sd_bus_error* e) { return on_reply(m, w, e); }, &waiting, UINT64_MAX);
    if (r < 0) {
        return base::fail(broken_off(-r) ? ECONNRESET : -r, "call", request.method);
    }
    waiting.slot.reset(slot);
    return {};
}

base::Result<Answer> Connection::exchange(const Request& request) {
    const bool bounded = request.patience.count() > 0;
    const Clock::time_point deadline = bounded ? Clock::now() + request.patience : Clock::time_point::max();
    Sent sent = Sent::once;
    for (;;) {
        if (Clock::now() >= deadline) {
            return not_in_time(request);
        }
        if (bus_ == nullptr || sd_bus_is_open(bus_.get()) <= 0) {
            if (auto again = reconnect(request.companion); !again) {
                return base::pass(again);
            }
        }
        Waiting waiting;
        auto step = transmit(request, waiting);
        while (step && waiting.state == Waiting::State::pending) {
            if (Clock::now() >= deadline) {
                return not_in_time(request);
            }
            step = pump(request.companion, deadline);
        }
        if (step && waiting.state == Waiting::State::answered) {
            return Answer{std::move(waiting.reply), sent};
        }
        if (step && waiting.state == Waiting::State::refused) {
            return std::unexpected(std::move(waiting.error));
        }
        if (!step && step.error().code != ECONNRESET) {
            return base::pass(step);
        }
        waiting.slot.reset();
        drop();
        if (request.repeat == Repeat::never) {
            return base::refuse(
                EPIPE, "the supervisor was replaced before it answered " + std::string(request.method));
        }
        sent = Sent::repeatedly;
    }
}

base::Result<std::optional<std::string>> Connection::next_event(Companion* companion) {
    while (events_.empty()) {
        if (bus_ == nullptr || sd_bus_is_open(bus_.get()) <= 0) {
            if (auto again = reconnect(companion); !again) {
                return base::pass(again);
            }
            return std::nullopt;
        }
        if (auto step = pump(companion, Clock::time_point::max()); !step) {
            if (step.error().code != ECONNRESET) {
                return base::pass(step);
            }
            drop();
        }
    }
    std::string text = std::move(events_.front());
    events_.pop_front();
    return std::optional<std::string>(std::move(text));
}

// gpcsupd goes before gpc-init does: a connection to the kept socket then simply breaks off when the last
// holder ends.
base::Result<> Connection::wait_gone(std::chrono::nanoseconds timeout) {
    const Clock::time_point deadline =
        timeout.count() > 0 ? Clock::now() + timeout : Clock::time_point::max();
    while (Clock::now() < deadline) {
        if (bus_ == nullptr || sd_bus_is_open(bus_.get()) <= 0) {
            auto tried = attempt();
            if (!tried && nobody_listens(tried.error().code)) {
                return {};
            }
            // ECONNRESET: its last holder closed the socket between connect(2) and our first word.
            if (!tried && tried.error().code != EAGAIN && tried.error().code != ECONNRESET) {
                return tried;
            }
        }
        auto step =
            bus_ != nullptr ? pump(nullptr, deadline) : base::Result<>(base::fail(ECONNRESET, "", ""));
        if (!step) {
            drop();
            if (auto paused = pause(nullptr, Clock::now() + retry_interval); !paused) {
                return paused;
            }
        }
    }
    return base::refuse(ETIMEDOUT, "the supervisor on " + runtime_ + "/control has not ended yet");
}

// One step: what the library has to do, or a wait for something to do.
base::Result<> Connection::pump(Companion* companion, Clock::time_point deadline) {
    const int r = sd_bus_process(bus_.get(), nullptr);
    if (r == -EPERM || r == -EACCES) {
        return base::refuse(EACCES, "the supervisor on " + runtime_ + "/control does not accept this user");
    }
    if (r < 0) {
        return base::fail(ECONNRESET, "talk to", "the supervisor");
    }
    if (sd_bus_is_ready(bus_.get()) > 0) {
        failures_ = 0;  // somebody serves us; that it may break off later is its replacement
    }
    if (r > 0) {
        return {};
    }
    return pause(companion, deadline);
}

base::Result<> Connection::pause(Companion* companion, Clock::time_point deadline) {
    std::vector<pollfd> descriptors;
    Clock::time_point until = deadline;
    if (bus_ != nullptr && sd_bus_is_open(bus_.get()) > 0) {
        const int events = sd_bus_get_events(bus_.get());
        descriptors.push_back(
            {sd_bus_get_fd(bus_.get()), static_cast<short>(events > 0 ? events : POLLIN), 0});
        std::uint64_t at = UINT64_MAX;
        if (sd_bus_get_timeout(bus_.get(), &at) > 0 && at != UINT64_MAX) {
            until = std::min(until, Clock::time_point(std::chrono::microseconds(at)));
        }
    }
    const std::size_t own = descriptors.size();
    if (companion != nullptr) {
        companion->watch(descriptors);
    }
    timespec left{};
    const bool bounded = until != Clock::time_point::max();
    if (bounded) {
        const auto rest = std::max(until - Clock::now(), Clock::duration::zero());
        const auto seconds = std::chrono::floor<std::chrono::seconds>(rest);
        left = {static_cast<time_t>(seconds.count()), static_cast<long>((rest - seconds).count())};
    }
    const int ready = ::ppoll(descriptors.data(), descriptors.size(), bounded ? &left : nullptr, nullptr);
    if (ready < 0) {
        if (errno == EINTR) {
            return {};
        }
        return base::fail(errno, "wait for", "the supervisor");
    }
    if (companion != nullptr && ready > 0 &&
        companion->tend(std::span(descriptors).subspan(own)) == Attention::interrupt) {
        return base::fail(EINTR, "wait for", "the supervisor");
    }
    return {};
}

}  // namespace gpcsup::control
