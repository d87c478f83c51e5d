#include "logging/service.h"

#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>

namespace gpcsup::logging {

namespace {

using namespace std::chrono_literals;

constexpr std::chrono::milliseconds first_retry = 100ms;
constexpr std::chrono::milliseconds longest_retry = 5s;
constexpr std::chrono::milliseconds last_words =
    4s;  // of services, after gpc-init has gone; below its own patience
constexpr int letters_a_round = 64;

base::Result<> add(int epoll, int descriptor) {
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.fd = descriptor;
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, descriptor, &event) < 0) {
        return base::fail(errno, "watch", "a descriptor");
    }
    return {};
}

}  // namespace

LogService::LogService(Keeper keeper, Pipes pipes) : keeper_(std::move(keeper)), pipes_(std::move(pipes)) {}

base::Result<> LogService::prepare() {
    sigset_t ending;
    sigemptyset(&ending);
    sigaddset(&ending, SIGTERM);
    sigprocmask(SIG_BLOCK, &ending, nullptr);
    signal(SIGXFSZ, SIG_IGN);  // a file size limit is EFBIG, one trouble among others
    signals_.reset(signalfd(-1, &ending, SFD_CLOEXEC | SFD_NONBLOCK));
    timer_.reset(timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK));
    epoll_.reset(epoll_create1(EPOLL_CLOEXEC));
    for (int descriptor : {signals_.get(), timer_.get(), keeper_.descriptor()}) {
        if (base::Result<> added = add(epoll_.get(), descriptor); !added) {
            return added;
        }
    }
    return {};
}

// A whole set has a number; what it does not contain has been dropped while nobody listened.
void LogService::enter_set(std::uint64_t number) {
    if (number != 0 && number != set_) {
        set_ = number;
        pipes_.begin_set();
        pause_serving();
    }
}

// Not before a set is complete: an older pipe of a unit may come after the younger one, and its bytes belong
// before.
void LogService::begin_serving() {
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.fd = pipes_.epoll();
    epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, pipes_.epoll(), &event);  // EEXIST: it was not interrupted
}

void LogService::pause_serving() {
    epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, pipes_.epoll(), nullptr);
}

void LogService::take_pipe(KeeperLetter& letter) {
    const wire::KeepMessage& message = letter.message;
    enter_set(message.argument);
    if (message.key.keep_class != wire::KeepClass::log_pipe) {
        return;
    }
    if (!letter.descriptor) {
        fmt::print(stderr, "gpc-logd: the pipe of {} did not arrive: {}\n", message.name,
                   letter.truncated ? "too many open descriptors" : "no descriptor was sent");
        return;
    }
    pipes_.add(message.key.id, message.name, std::move(letter.descriptor));
}

void LogService::hear(KeeperLetter& letter) {
    switch (letter.message.verb) {
        case wire::KeepVerb::deliver:
            take_pipe(letter);
            break;
        case wire::KeepVerb::dropped:
            pipes_.drop(letter.message.key.id);
            break;
        case wire::KeepVerb::delivered:
            enter_set(letter.message.argument);
            pipes_.end_set();
            begin_serving();
            keeper_.send(wire::KeepVerb::ready);
            break;
        default:
            break;
    }
}

LogService::Going LogService::hear_keeper() {
    for (int count = 0; count < letters_a_round; ++count) {
        KeeperLetter letter = keeper_.receive();
        if (letter.heard == Heard::nothing) {
            return Going::on;
        }
        if (letter.heard == Heard::closed) {
            return Going::ending;
        }
        hear(letter);
    }
    return Going::on;
}

// The timer runs only while some log cannot be written, and more and more slowly.
void LogService::arm_retry() {
    if (!pipes_.in_trouble()) {
        retry_delay_ = 0ms;
        return;
    }
    if (retry_armed_) {
        return;
    }
    retry_delay_ = std::clamp(retry_delay_ * 2, first_retry, longest_retry);
    const auto whole = std::chrono::duration_cast<std::chrono::seconds>(retry_delay_);
    itimerspec when{};
    when.it_value.tv_sec = whole.count();
    when.it_value.tv_nsec = std::chrono::nanoseconds(retry_delay_ - whole).count();
    timerfd_settime(timer_.get(), 0, &when, nullptr);
    retry_armed_ = true;
}

void LogService::hear_timer() {
    std::uint64_t times = 0;
    if (read(timer_.get(), &times, sizeof times) == static_cast<ssize_t>(sizeof times)) {
        retry_armed_ = false;
        pipes_.retry();
    }
}

// gpc-init has gone, or the end was asked for: the services are ending, too, and their last words are wanted.
// But somebody may hold a pipe open for ever, and a full disk may stay full.
void LogService::finish() {
    const auto deadline = std::chrono::steady_clock::now() + last_words;
    pipes_.retry();
    for (;;) {
        pipes_.serve();
        const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
            deadline - std::chrono::steady_clock::now());
        if (pipes_.drained() || left <= 0ms) {
            break;
        }
        pollfd place{pipes_.epoll(), POLLIN, 0};
        poll(&place, 1, static_cast<int>(left.count()));
    }
    pipes_.report_lost();
}

base::Result<> LogService::run() {
    if (base::Result<> prepared = prepare(); !prepared) {
        return prepared;
    }
    for (Going going = Going::on; going == Going::on;) {
        for (std::uint64_t key : pipes_.take_finished()) {
            keeper_.send(wire::KeepVerb::drop, {wire::KeepClass::log_pipe, 0, key});
        }
        arm_retry();
        std::array<epoll_event, 4> events{};
        const int count = epoll_wait(epoll_.get(), events.data(), static_cast<int>(events.size()), -1);
        for (int i = 0; i < count && going == Going::on; ++i) {
            const int ready = events[static_cast<std::size_t>(i)].data.fd;
            if (ready == keeper_.descriptor()) {
                going = hear_keeper();
            } else if (ready == pipes_.epoll()) {
                pipes_.serve();
            } else if (ready == timer_.get()) {
                hear_timer();
            } else {
                going = Going::ending;  // SIGTERM
            }
        }
    }
    finish();
    return {};
}

}  // namespace gpcsup::logging
