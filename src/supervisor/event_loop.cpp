#include "supervisor/event_loop.h"

#include <ctime>

namespace gpcsup::supervisor {

struct Watch::State {
    explicit State(std::function<void()> function) : call(std::move(function)) {}
    ~State() { sd_event_source_disable_unref(source); }
    State(const State&) = delete;
    State& operator=(const State&) = delete;
    sd_event_source* source = nullptr;
    std::function<void()> call;
};

Watch::Watch(std::unique_ptr<State> state) : state_(std::move(state)) {}
Watch::Watch() = default;
Watch::Watch(Watch&&) noexcept = default;
Watch& Watch::operator=(Watch&&) noexcept = default;
Watch::~Watch() = default;

namespace {

void call(void* state) {
    // A copy: the callback may end its own watch, and with it the function object that is running.
    const auto function = static_cast<Watch::State*>(state)->call;
    function();
}

int on_io(sd_event_source*, int, std::uint32_t, void* state) {
    call(state);
    return 0;
}

int on_timer(sd_event_source*, std::uint64_t, void* state) {
    call(state);
    return 0;
}

int on_post(sd_event_source*, void* state) {
    call(state);
    return 0;
}

}  // namespace

base::Result<std::unique_ptr<EventLoop>> EventLoop::create() {
    sd_event* event = nullptr;
    if (int code = sd_event_new(&event); code < 0) {
        return base::fail(-code, "create", "the event loop");
    }
    return std::unique_ptr<EventLoop>(new EventLoop(event));
}

EventLoop::~EventLoop() {
    sd_event_unref(event_);
}

base::Result<Watch> EventLoop::on_readable(int descriptor, Priority priority,
                                           std::function<void()> function) {
    auto state = std::make_unique<Watch::State>(std::move(function));
    int code = sd_event_add_io(event_, &state->source, descriptor, EPOLLIN, on_io, state.get());
    if (code >= 0) {
        code = sd_event_source_set_priority(state->source, static_cast<int>(priority));
    }
    if (code < 0) {
        return base::fail(-code, "watch", "descriptor " + std::to_string(descriptor));
    }
    return Watch(std::move(state));
}

base::Result<Watch> EventLoop::on_time(Priority priority, std::function<void()> function) {
    auto state = std::make_unique<Watch::State>(std::move(function));
    int code =
        sd_event_add_time(event_, &state->source, CLOCK_MONOTONIC, UINT64_MAX, 1, on_timer, state.get());
    if (code >= 0) {
        code = sd_event_source_set_priority(state->source, static_cast<int>(priority));
    }
    if (code >= 0) {
        code = sd_event_source_set_enabled(state->source, SD_EVENT_OFF);
    }
    if (code < 0) {
        return base::fail(-code, "create", "a timer");
    }
    return Watch(std::move(state));
}

void EventLoop::arm(Watch& timer, std::uint64_t monotonic_ns) {
    if (monotonic_ns == 0) {
        sd_event_source_set_enabled(timer.state_->source, SD_EVENT_OFF);
        return;
    }
    sd_event_source_set_time(timer.state_->source, (monotonic_ns + 999) / 1000);
    sd_event_source_set_enabled(timer.state_->source, SD_EVENT_ONESHOT);
}

base::Result<Watch> EventLoop::on_idle(std::function<void()> function) {
    auto state = std::make_unique<Watch::State>(std::move(function));
    if (int code = sd_event_add_post(event_, &state->source, on_post, state.get()); code < 0) {
        return base::fail(-code, "create", "an idle source");
    }
    return Watch(std::move(state));
}

base::Result<> EventLoop::run() {
    if (int code = sd_event_loop(event_); code < 0) {
        return base::fail(-code, "run", "the event loop");
    }
    return {};
}

void EventLoop::stop() {
    sd_event_exit(event_, 0);
}

namespace {

std::uint64_t now_ns(clockid_t clock) {
    timespec now{};
    clock_gettime(clock, &now);
    return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000u + static_cast<std::uint64_t>(now.tv_nsec);
}

}  // namespace

std::uint64_t monotonic_now_ns() {
    return now_ns(CLOCK_MONOTONIC);
}
std::uint64_t realtime_now_ns() {
    return now_ns(CLOCK_REALTIME);
}

}  // namespace gpcsup::supervisor
