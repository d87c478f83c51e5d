#pragma once
// The launch plan as gpc-exec reads it: mapped once, checked once as a whole, so that no later step can run
// out of it.

#include <cstdint>

#include "wire/launch_plan.h"

namespace gpcsup::exec {

class Plan {
  public:
    // Maps and checks the blob in the memfd. Returns an errno: EPROTO for another version, EINVAL for a
    // damaged blob.
    int open(int descriptor);

    [[nodiscard]] const wire::LaunchPlan& header() const { return *header_; }
    [[nodiscard]] bool has(std::uint32_t flag) const { return (header_->flags & flag) != 0; }
    // The first string of the span, or null when it is absent.
    [[nodiscard]] const char* text(const wire::PlanSpan& span) const;
    // The elements of an array span (null when absent).
    template <class T>
    [[nodiscard]] const T* array(const wire::PlanSpan& span) const {
        return span.offset == 0 ? nullptr : reinterpret_cast<const T*>(base_ + span.offset);
    }

  private:
    [[nodiscard]] bool strings_fit(const wire::PlanSpan& span) const;
    [[nodiscard]] bool array_fits(const wire::PlanSpan& span, std::uint64_t element) const;
    [[nodiscard]] bool is_sound() const;

    const char* base_ = nullptr;
    const wire::LaunchPlan* header_ = nullptr;
    std::uint64_t size_ = 0;
};

}  // namespace gpcsup::exec
