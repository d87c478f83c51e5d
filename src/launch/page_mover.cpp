#include "launch/page_mover.h"

#include <algorithm>
#include <cerrno>
#include <utility>

#include <sys/socket.h>

namespace gpcsup::launch {
namespace {

constexpr std::chrono::milliseconds slice_time{20};  // then it is the next process's turn
constexpr std::chrono::seconds patience{5};          // pages that are being moved may wait for a disk

void copy_words(const base::CpuList& nodes, std::uint64_t (&words)[wire::memory_node_words]) {
    const auto& source = nodes.words();
    std::copy_n(source.begin(), std::min<std::size_t>(source.size(), wire::memory_node_words), words);
}

}  // namespace

PageMover::~PageMover() {
    dismiss();
}

void PageMover::add(base::ProcessId process, const base::CpuList& from, const base::CpuList& to) {
    const auto [at, is_new] = works_.try_emplace(process);
    Work& work = at->second;
    const bool begun = work.address != 0 || (slice_ && slice_->process == process);
    if (is_new || begun) {  // else its pages are still where they were at first
        work.from = from;
    }
    work.to = to;
    work.address = 0;
    work.wish = next_wish_++;
    if (is_new) {
        turns_.push_back(process);
    }
}

void PageMover::forget(base::ProcessId process) {
    works_.erase(process);
    std::erase(turns_, process);
}

void PageMover::proceed() {
    while (!slice_ && !turns_.empty()) {
        const base::ProcessId process = turns_.front();
        turns_.pop_front();
        if (const int error = begin(process, works_.at(process)); error != 0) {
            end(process, error);
        }
    }
    if (!slice_) {
        dismiss();
    }
}

int PageMover::begin(base::ProcessId process, const Work& work) {
    if (dying_.is_full()) {
        return EBUSY;
    }
    if (!reader_.pidfd) {
        auto started = start_reader(program_);
        if (!started) {
            return started.error().code;
        }
        reader_ = std::move(*started);
    }
    const Moment now = std::chrono::steady_clock::now();
    wire::MoveRequest request;
    request.id = next_id_++;
    request.pid = process.pid;
    request.start_time = process.start_time;
    request.address = work.address;
    request.until_ns =
        static_cast<std::uint64_t>((now + slice_time).time_since_epoch() / std::chrono::nanoseconds(1));
    copy_words(work.from, request.from);
    copy_words(work.to, request.to);
    // A reader that died shows at its socket's end of file; the deadline covers the rest.
    static_cast<void>(send(reader_.socket.get(), &request, sizeof(request), MSG_DONTWAIT | MSG_NOSIGNAL));
    slice_ = {request.id, process, work.wish, now + patience};
    return 0;
}

std::vector<int> PageMover::descriptors() const {
    std::vector<int> all;
    all.reserve(dying_.pidfds().size() + 1);
    if (reader_.pidfd) {
        all.push_back(reader_.socket.get());
    }
    for (const base::Fd& pidfd : dying_.pidfds()) {
        all.push_back(pidfd.get());
    }
    return all;
}

void PageMover::on_readable(int descriptor) {
    dying_.reap();
    if (reader_.pidfd && reader_.socket.get() == descriptor) {
        receive();
    }
    proceed();
}

void PageMover::receive() {
    wire::MoveAnswer answer;
    const ssize_t got = recv(reader_.socket.get(), &answer, sizeof(answer), MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
        return;
    }
    if (got == static_cast<ssize_t>(sizeof(answer))) {
        if (slice_ && slice_->id == answer.id) {
            take(answer);
        }
        return;
    }
    dismiss();
    if (const auto slice = std::exchange(slice_, std::nullopt)) {
        end(slice->process, ECHILD);
    }
}

void PageMover::take(const wire::MoveAnswer& answer) {
    const Slice slice = *std::exchange(slice_, std::nullopt);
    const auto at = works_.find(slice.process);
    if (at == works_.end()) {
        return;
    }
    Work& work = at->second;
    work.outcome.moved += answer.moved;
    if (work.wish == slice.wish) {
        work.outcome.shared += answer.shared;
        work.outcome.left += answer.left;
        work.address = answer.address;
        if (answer.error != 0 || answer.address == wire::all_pages) {
            end(slice.process, answer.error);
            return;
        }
    }
    if (std::find(turns_.begin(), turns_.end(), slice.process) == turns_.end()) {
        turns_.push_back(slice.process);
    }
}

void PageMover::end(base::ProcessId process, int error) {
    const auto at = works_.find(process);
    if (at == works_.end()) {
        return;
    }
    Outcome outcome = at->second.outcome;
    outcome.error = error;
    forget(process);
    done_(process, outcome);
}

void PageMover::dismiss() {
    if (reader_.pidfd) {
        dying_.kill(std::exchange(reader_, {}));
    }
}

std::optional<PageMover::Moment> PageMover::deadline() const {
    return slice_ ? std::optional(slice_->due) : std::nullopt;
}

void PageMover::on_deadline(Moment now) {
    if (slice_ && slice_->due <= now) {
        dismiss();
        end(std::exchange(slice_, std::nullopt)->process, ETIMEDOUT);
    }
    proceed();
}

}  // namespace gpcsup::launch
