#include "logging/pipes.h"

#include <fmt/format.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <utility>
#include <vector>

#include "wire/keep.h"

namespace gpcsup::logging {

namespace {

constexpr std::size_t bytes_a_round = 256u << 10;  // of one pipe, before the others get their turn
constexpr int pipes_a_round = 64;

bool same_pipe(int left, int right) {
    struct stat one {};
    struct stat other {};
    return fstat(left, &one) == 0 && fstat(right, &other) == 0 && one.st_ino == other.st_ino &&
           one.st_dev == other.st_dev;
}

}  // namespace

Pipes::Pipes(std::string directory, Troubles troubles, Clock clock, LogLimits limits)
    : directory_(std::move(directory)),
      troubles_(std::move(troubles)),
      clock_(std::move(clock)),
      limits_(limits),
      epoll_(epoll_create1(EPOLL_CLOEXEC)) {
    troubles_.publish();
}

std::shared_ptr<Pipes::Log> Pipes::log_of(const std::string& name) {
    std::weak_ptr<Log>& known = logs_[name];
    std::shared_ptr<Log> log = known.lock();
    if (!log) {
        // A name that cannot be a file's is refused when the first bytes come, with the name in the message.
        base::Result<std::string> path = log_path(directory_, name);
        log = std::make_shared<Log>(Log{name, LogFile(path ? *path : std::string(), limits_)});
        known = log;
    }
    return log;
}

// There is no end of names: each `gpcsup run` has one of its own.
void Pipes::forget_log(const std::shared_ptr<Log>& log) {
    if (log.use_count() == 1) {
        logs_.erase(log->name);
    }
}

std::map<Pipes::Serial, Pipes::Pipe>::iterator Pipes::find(std::uint64_t key) {
    for (auto place = pipes_.begin(); place != pipes_.end(); ++place) {
        if (place->second.key == key && !place->second.closing) {
            return place;
        }
    }
    return pipes_.end();
}

void Pipes::watch(Serial serial, Pipe& pipe) {
    if (pipe.watched || pipe.ended) {
        return;
    }
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.u64 = serial;
    pipe.watched = epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, pipe.end.get(), &event) == 0;
}

void Pipes::unwatch(Pipe& pipe) {
    if (pipe.watched) {
        epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, pipe.end.get(), nullptr);
        pipe.watched = false;
    }
}

void Pipes::add(std::uint64_t key, const std::string& name, base::Fd end) {
    if (auto known = find(key); known != pipes_.end()) {
        if (same_pipe(known->second.end.get(), end.get()) && known->second.log->name == name) {
            known->second.seen = true;
            return;
        }
        finish(known);
    }
    const Serial serial = next_serial_++;
    Pipe& pipe = pipes_[serial];
    pipe.key = key;
    pipe.end = std::move(end);
    pipe.log = log_of(name);
    pipe.seen = true;
    watch(serial, pipe);
}

void Pipes::drop(std::uint64_t key) {
    auto place = find(key);
    if (place == pipes_.end()) {
        return;
    }
    if (in_set_) {
        place->second.dropped = true;
        return;
    }
    finish(place);
}

void Pipes::finish(std::map<Serial, Pipe>::iterator place) {
    place->second.closing = true;
    constexpr int most_rounds = 16;  // whoever still writes into it does not keep us here
    for (int round = 0; round < most_rounds && serve_one(place) == Fate::more; ++round) {
    }
    troubles_.publish();
}

std::vector<std::uint64_t> Pipes::take_finished() {
    return std::exchange(finished_, {});
}

void Pipes::begin_set() {
    in_set_ = true;
    for (auto& [serial, pipe] : pipes_) {
        pipe.seen = false;
        pipe.dropped = false;
    }
}

void Pipes::end_set() {
    in_set_ = false;
    std::vector<std::map<Serial, Pipe>::iterator> gone;
    for (auto place = pipes_.begin(); place != pipes_.end(); ++place) {
        if (!place->second.closing && (place->second.dropped || !place->second.seen)) {
            gone.push_back(place);
        }
    }
    // A set comes in the order of gpc-init's rows, which are used again; numbers only rise.
    std::ranges::sort(gone, {}, [](const auto& place) { return wire::age_of(place->second.key); });
    for (const auto& place : gone) {
        finish(place);
    }
}

// Out of descriptors: every log can be closed and opened again, so they are.
void Pipes::close_files() {
    for (auto& [serial, pipe] : pipes_) {
        pipe.log->file.close();
    }
}

base::Result<Moved> Pipes::take(Pipe& pipe) {
    if (pipe.log->file.path().empty()) {
        return base::fail(EINVAL, "log to a file named", pipe.log->name);
    }
    base::Result<Moved> moved = pipe.log->file.take_from(pipe.end.get(), bytes_a_round, clock_());
    if (!moved && (moved.error().code == EMFILE || moved.error().code == ENFILE)) {
        close_files();
        moved = pipe.log->file.take_from(pipe.end.get(), bytes_a_round, clock_());
    }
    return moved;
}

bool Pipes::in_trouble() const {
    return !troubles_.none() ||
           std::ranges::any_of(pipes_, [](const auto& entry) { return entry.second.troubled; });
}

// The bytes of an older pipe of the same log belong before those of this one.
bool Pipes::must_wait(const Pipe& pipe) const {
    return !pipe.closing && std::ranges::any_of(pipes_, [&pipe](const auto& entry) {
        const Pipe& other = entry.second;
        return other.closing && other.troubled && other.log == pipe.log;
    });
}

Pipes::Fate Pipes::serve_one(std::map<Serial, Pipe>::iterator place) {
    Pipe& pipe = place->second;
    if (!troubles_.none() && must_wait(pipe)) {
        pipe.troubled = true;
        unwatch(pipe);
        return Fate::stays;
    }
    base::Result<Moved> moved = take(pipe);
    if (!moved) {
        pipe.troubled = true;
        unwatch(pipe);
        troubles_.begin(pipe.log->name, moved.error(), clock_());
        return Fate::stays;
    }
    if (pipe.troubled) {
        pipe.troubled = false;
        troubles_.end(pipe.log->name);
    }
    freed_space_ = freed_space_ || moved->freed_space;
    pipe.ended = moved->state == PipeState::ended;
    if (pipe.ended) {
        unwatch(pipe);  // it would be "readable" for ever
        pipe.log->file.close();
    } else {
        watch(place->first, pipe);
    }
    if (pipe.closing && moved->state != PipeState::more) {
        finished_.push_back(pipe.key);
        forget_log(place->second.log);
        pipes_.erase(place);  // closes it, which takes it out of the epoll set
        return Fate::forgotten;
    }
    return moved->state == PipeState::more ? Fate::more : Fate::stays;
}

void Pipes::serve() {
    std::array<epoll_event, pipes_a_round> events{};
    const int count = epoll_wait(epoll_.get(), events.data(), pipes_a_round, 0);
    for (int i = 0; i < count; ++i) {
        auto place = pipes_.find(events[static_cast<std::size_t>(i)].data.u64);
        if (place != pipes_.end()) {
            serve_one(place);
        }
    }
    if (freed_space_) {
        freed_space_ = false;
        retry_troubled();
    }
    troubles_.publish();
}

void Pipes::retry_troubled() {
    for (bool closing : {true, false}) {
        for (auto place = pipes_.begin(); place != pipes_.end();) {
            auto here = place++;
            if (here->second.troubled && here->second.closing == closing) {
                serve_one(here);
            }
        }
    }
}

void Pipes::retry() {
    retry_troubled();
    troubles_.publish();
}

bool Pipes::drained() {
    for (auto& [serial, pipe] : pipes_) {
        if (!pipe.ended && !pipe.troubled) {
            return false;
        }
    }
    return true;
}

void Pipes::report_lost() const {
    for (const auto& [serial, pipe] : pipes_) {
        int waiting = 0;
        if (pipe.troubled && ioctl(pipe.end.get(), FIONREAD, &waiting) == 0 && waiting > 0) {
            fmt::print(stderr, "gpc-logd: the last {} bytes of {} could not be written\n", waiting,
                       pipe.log->name);
        }
    }
}

}  // namespace gpcsup::logging
