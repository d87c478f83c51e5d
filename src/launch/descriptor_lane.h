#pragma once
// A row of low numbers of the descriptor table, kept occupied, in which spawn() puts what a child is to
// inherit. The child then takes only the table up to there (close_range(2), CLOSE_RANGE_UNSHARE) and not the
// thousands of descriptors above, each of which exec would have to close: that would make the cost of a start
// grow with the number of services that run. One lane serves one process, one start at a time.

#include "base/fd.h"
#include "base/result.h"

namespace gpcsup::launch {

class DescriptorLane {
  public:
    static constexpr int width = 8;  // what a service inherits, gpc-exec's own included, and rarely more

    // To be made early, while low numbers are free. EMFILE; ENOENT without /dev/null.
    static base::Result<DescriptorLane> open();

    DescriptorLane(DescriptorLane&& other) noexcept;
    DescriptorLane& operator=(DescriptorLane&&) = delete;
    ~DescriptorLane();

    [[nodiscard]] int first() const { return first_; }
    // What the child put into the first COUNT places is let go of.
    void clear(int count) const;

  private:
    explicit DescriptorLane(base::Fd placeholder) : placeholder_(std::move(placeholder)) {}

    base::Fd placeholder_;
    int first_ = -1;
};

}  // namespace gpcsup::launch
