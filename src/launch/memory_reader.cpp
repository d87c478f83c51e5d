#include "launch/memory_reader.h"

#include <algorithm>
#include <cerrno>
#include <utility>

#include <poll.h>
#include <sys/socket.h>

namespace gpcsup::launch {
namespace {

// The reader stops this long before its answer is waited for no more.
constexpr std::chrono::milliseconds margin{1};

}  // namespace

MemoryReader::~MemoryReader() {
    dismiss();
}

void MemoryReader::dismiss() {
    if (reader_.pidfd) {
        dying_.kill(std::exchange(reader_, {}));
    }
}

MemoryReader::Answered MemoryReader::ask(const wire::MemoryRequest& request, wire::MemoryAnswer& answer,
                                         Moment until) {
    if (send(reader_.socket.get(), &request, sizeof(request), MSG_DONTWAIT | MSG_NOSIGNAL) !=
        static_cast<ssize_t>(sizeof(request))) {
        return Answered::no;
    }
    for (;;) {
        const auto left =
            std::chrono::ceil<std::chrono::milliseconds>(until - std::chrono::steady_clock::now());
        pollfd socket{reader_.socket.get(), POLLIN, 0};
        const int ready = poll(&socket, 1, static_cast<int>(std::max<std::int64_t>(0, left.count())));
        if (ready < 0 && errno == EINTR) {
            continue;
        }
        const bool whole = ready > 0 && recv(reader_.socket.get(), &answer, sizeof(answer), MSG_DONTWAIT) ==
                                            static_cast<ssize_t>(sizeof(answer));
        return whole && answer.id == request.id ? Answered::yes : Answered::no;
    }
}

std::vector<std::uint64_t> MemoryReader::read(std::span<const base::ProcessId> processes,
                                              wire::MemoryFigure figure, Moment until) {
    dying_.reap();
    std::vector<std::uint64_t> all(processes.size(), wire::memory_unknown);
    for (std::size_t from = 0; from < all.size() && !dying_.is_full(); from += wire::memory_members) {
        if (std::chrono::steady_clock::now() + margin >= until) {
            break;
        }
        if (!reader_.pidfd) {
            auto started = start_reader(program_);
            if (!started) {
                break;
            }
            reader_ = std::move(*started);
        }
        wire::MemoryRequest request;
        request.id = next_id_++;
        request.figure = figure;
        request.count =
            static_cast<std::uint32_t>(std::min<std::size_t>(wire::memory_members, all.size() - from));
        request.until_ns =
            static_cast<std::uint64_t>((until - margin).time_since_epoch() / std::chrono::nanoseconds(1));
        for (std::uint32_t at = 0; at < request.count; ++at) {
            request.members[at] = {processes[from + at].pid, 0, processes[from + at].start_time};
        }
        wire::MemoryAnswer answer;
        if (ask(request, answer, until) == Answered::yes) {
            std::copy_n(answer.bytes, request.count, all.begin() + static_cast<std::ptrdiff_t>(from));
        } else {
            dismiss();
        }
    }
    return all;
}

}  // namespace gpcsup::launch
