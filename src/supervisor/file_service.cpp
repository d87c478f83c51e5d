#include "supervisor/file_service.h"

namespace gpcsup::supervisor {

namespace {

constexpr std::uint64_t look_interval_ns = 1'000'000'000;

}  // namespace

FileService::FileService(EventLoop& loop, Census& census, const grouping::Forest& forest,
                         std::function<void()> look)
    : loop_(loop), census_(census), forest_(forest), look_(std::move(look)) {}

base::Result<> FileService::open() {
    auto timer = loop_.on_time(EventLoop::Priority::idle, [this] { look_again(); });
    if (!timer) {
        return base::pass(timer);
    }
    timer_ = std::move(*timer);
    book_.emplace(forest_, census_.table(), census_.files(), files_);
    return {};
}

// Where tracking is sampled, the count of tasks is what finds the members.
std::uint64_t FileService::count(grouping::GroupId group, std::uint64_t plenty) {
    const auto settle = [&] {
        if (census_.quality() == processes::TrackingQuality::exact) {
            census_.drain_tracker();
        } else {
            (void)census_.count_exactly(group);
        }
    };
    return book_->count(group, settle, plenty);
}

void FileService::leave(const processes::Process& process, grouping::GroupId from) {
    book_->leave(process, from);
    if (!book_->empty()) {
        loop_.arm(timer_, monotonic_now_ns() + look_interval_ns);
    }
}

void FileService::look_again() {
    look_();
    if (!book_->empty()) {
        loop_.arm(timer_, monotonic_now_ns() + look_interval_ns);
    }
}

}  // namespace gpcsup::supervisor
