#pragma once
// sd-event behind four verbs: watch a descriptor, call at a time, call soon, run. A watch ends when its
// object goes. Callbacks run to completion on the one thread there is; none may block.

#include <systemd/sd-event.h>

#include <functional>
#include <memory>

#include "base/result.h"

namespace gpcsup::supervisor {

class Watch {  // one event source; movable, ends when destroyed
  public:
    Watch();
    Watch(Watch&&) noexcept;
    Watch& operator=(Watch&&) noexcept;
    ~Watch();
    [[nodiscard]] explicit operator bool() const { return state_ != nullptr; }

    struct State;

  private:
    friend class EventLoop;
    explicit Watch(std::unique_ptr<State> state);
    std::unique_ptr<State> state_;
};

class EventLoop {
  public:
    // Smaller is served first. Exits come before starts, clients last, so that a flood of questions delays no
    // reaping.
    enum class Priority { keeper = -30, enforcement = -20, processes = -10, clients = 0, idle = 10 };

    static base::Result<std::unique_ptr<EventLoop>> create();
    ~EventLoop();
    EventLoop(const EventLoop&) = delete;
    EventLoop& operator=(const EventLoop&) = delete;

    base::Result<Watch> on_readable(int descriptor, Priority priority, std::function<void()> call);
    // A one-shot timer, unarmed; `arm` it with an absolute CLOCK_MONOTONIC time in nanoseconds, 0 = disarm.
    base::Result<Watch> on_time(Priority priority, std::function<void()> call);
    void arm(Watch& timer, std::uint64_t monotonic_ns);
    // Called after every round in which something else was called, before the loop waits again.
    base::Result<Watch> on_idle(std::function<void()> call);

    base::Result<> run();  // until stop()
    void stop();
    [[nodiscard]] sd_event* handle() const { return event_; }

  private:
    explicit EventLoop(sd_event* event) : event_(event) {}
    sd_event* event_;
};

[[nodiscard]] std::uint64_t monotonic_now_ns();
[[nodiscard]] std::uint64_t realtime_now_ns();

}  // namespace gpcsup::supervisor
