#include "launch/reader_pool.h"

#include <algorithm>
#include <cerrno>
#include <utility>

#include <sys/socket.h>

#include "launch/reader_process.h"

namespace gpcsup::launch {
namespace {

constexpr std::size_t warm_readers = 2;
constexpr std::size_t max_waiting = 512;  // as many as can be parked
constexpr std::chrono::milliseconds patience{50};
constexpr std::chrono::seconds longest{2};  // for one that is not let run

}  // namespace

ReaderPool::~ReaderPool() {
    for (Reader& reader : readers_) {
        dying_.kill(std::move(reader.process));
    }
}

base::Result<> ReaderPool::warm_up() {
    while (readers_.size() < warm_readers) {
        if (dying_.is_full()) {
            return base::fail(EBUSY, "start another", program_);
        }
        auto started = start_reader(program_);
        if (!started) {
            return base::pass(started);
        }
        Reader reader;
        reader.process = std::move(*started);
        readers_.push_back(std::move(reader));
    }
    return {};
}

void ReaderPool::read(const wire::ReadRequest& request, Done done) {
    if (waiting_.size() >= max_waiting) {
        done(base::fail(EBUSY, "read the memory of", "thread " + std::to_string(request.tid)));
        return;
    }
    waiting_.push_back({request, std::move(done)});
    dispatch();
}

void ReaderPool::dispatch() {
    if (const auto warm = warm_up(); !warm && readers_.empty()) {
        for (Job& job : std::exchange(waiting_, {})) {
            job.done(base::fail(ECHILD, "start", program_));
        }
        return;
    }
    for (Reader& reader : readers_) {
        if (!reader.job && !waiting_.empty()) {
            Job job = std::move(waiting_.front());
            waiting_.pop_front();
            give(reader, std::move(job));
        }
    }
}

void ReaderPool::give(Reader& reader, Job job) {
    job.request.id = next_id_++;
    // A reader that died shows at its socket's end of file; the deadline covers the rest.
    static_cast<void>(
        send(reader.process.socket.get(), &job.request, sizeof(job.request), MSG_DONTWAIT | MSG_NOSIGNAL));
    reader.job = std::move(job);
    const Moment now = std::chrono::steady_clock::now();
    reader.delay = Delay::of_its_work;
    reader.due = now + patience;
    reader.last = now + longest;
}

std::vector<int> ReaderPool::descriptors() const {
    std::vector<int> all;
    all.reserve(readers_.size() + dying_.pidfds().size());
    for (const Reader& reader : readers_) {
        all.push_back(reader.process.socket.get());
    }
    for (const base::Fd& pidfd : dying_.pidfds()) {
        all.push_back(pidfd.get());
    }
    return all;
}

void ReaderPool::on_readable(int descriptor) {
    dying_.reap();
    for (Reader& reader : readers_) {
        if (reader.process.socket.get() == descriptor) {
            receive(reader);
            break;
        }
    }
    dispatch();
}

void ReaderPool::receive(Reader& reader) {
    wire::ReadAnswer answer;
    const ssize_t got = recv(reader.process.socket.get(), &answer, sizeof(answer), MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
        return;
    }
    if (got != static_cast<ssize_t>(sizeof(answer))) {
        dismiss(reader, ECHILD);
        return;
    }
    if (!reader.job || reader.job->request.id != answer.id) {
        return;
    }
    const Job job = *std::exchange(reader.job, std::nullopt);
    if (answer.error != 0) {
        job.done(base::fail(answer.error, "read the memory of", "thread " + std::to_string(job.request.tid)));
        return;
    }
    const auto length = std::min<std::size_t>(answer.length, sizeof(answer.data));
    job.done(std::vector<std::uint8_t>(answer.data, answer.data + length));
}

// Kills the reader, fails its job, and leaves its place to a new one.
void ReaderPool::dismiss(Reader& reader, int error) {
    dying_.kill(std::move(reader.process));
    const std::optional<Job> job = std::exchange(reader.job, std::nullopt);
    std::erase_if(readers_, [&](const Reader& other) { return &other == &reader; });
    if (job) {
        job->done(base::fail(error, "read the memory of", "thread " + std::to_string(job->request.tid)));
    }
}

std::optional<Moment> ReaderPool::deadline() const {
    std::optional<Moment> first;
    for (const Reader& reader : readers_) {
        if (reader.job && (!first || reader.due < *first)) {
            first = reader.due;
        }
    }
    return first;
}

// It is given its time once more after it was seen to have had no CPU.
bool ReaderPool::is_late_without_blame(Reader& reader) {
    const Delay before = std::exchange(reader.delay, look_at_delay(reader.process));
    return before == Delay::for_want_of_a_cpu || reader.delay == Delay::for_want_of_a_cpu;
}

void ReaderPool::on_deadline(Moment now) {
    for (std::size_t i = 0; i < readers_.size();) {
        Reader& reader = readers_[i];
        if (!reader.job || reader.due > now) {
            ++i;
        } else if (now < reader.last && is_late_without_blame(reader)) {
            reader.due = now + patience;
            ++i;
        } else {
            dismiss(reader, EFAULT);
            i = 0;
        }
    }
    dispatch();
}

}  // namespace gpcsup::launch
