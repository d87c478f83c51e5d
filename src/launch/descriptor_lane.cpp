#include "launch/descriptor_lane.h"

#include <cerrno>
#include <utility>
#include <vector>

#include <fcntl.h>
#include <unistd.h>

namespace gpcsup::launch {

base::Result<DescriptorLane> DescriptorLane::open() {
    base::Fd null(::open("/dev/null", O_RDWR | O_CLOEXEC | O_NOCTTY));
    if (!null) {
        return base::fail(errno, "open", "/dev/null");
    }
    DescriptorLane lane(std::move(null));
    std::vector<base::Fd> row;
    int wanted = 3;
    while (row.size() < width) {
        base::Fd got(fcntl(lane.placeholder_.get(), F_DUPFD_CLOEXEC, wanted));
        if (!got) {
            return base::fail(errno, "keep descriptors free for", "what services inherit");
        }
        if (got.get() != wanted) {  // somebody sits in between: the row begins anew behind it
            row.clear();
        }
        wanted = got.get() + 1;
        row.push_back(std::move(got));
    }
    lane.first_ = row.front().get();
    for (auto& kept : row) {
        static_cast<void>(kept.release());
    }
    return lane;
}

DescriptorLane::DescriptorLane(DescriptorLane&& other) noexcept
    : placeholder_(std::move(other.placeholder_)), first_(std::exchange(other.first_, -1)) {}

DescriptorLane::~DescriptorLane() {
    for (int number = first_; first_ >= 0 && number < first_ + width; ++number) {
        close(number);
    }
}

void DescriptorLane::clear(int count) const {
    for (int number = first_; number < first_ + count; ++number) {
        dup3(placeholder_.get(), number, O_CLOEXEC);
    }
}

}  // namespace gpcsup::launch
