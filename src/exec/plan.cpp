#include "exec/plan.h"

#include <cerrno>
#include <cstring>
#include <initializer_list>

#include <linux/filter.h>
#include <sys/mman.h>
#include <sys/stat.h>

namespace gpcsup::exec {

int Plan::open(int descriptor) {
    struct stat status {};
    if (fstat(descriptor, &status) != 0) {
        return errno;
    }
    size_ = static_cast<std::uint64_t>(status.st_size);
    if (size_ < sizeof(wire::LaunchPlan)) {
        return EINVAL;
    }
    void* memory = mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, descriptor, 0);
    if (memory == MAP_FAILED) {
        return errno;
    }
    base_ = static_cast<const char*>(memory);
    header_ = reinterpret_cast<const wire::LaunchPlan*>(base_);
    if (header_->magic != wire::launch_plan_magic || header_->version != wire::launch_plan_version) {
        return EPROTO;
    }
    return is_sound() ? 0 : EINVAL;
}

bool Plan::strings_fit(const wire::PlanSpan& span) const {
    if (span.offset == 0) {
        return span.count == 0;
    }
    std::uint64_t at = span.offset;
    for (std::uint32_t i = 0; i < span.count; ++i) {
        if (at >= size_) {
            return false;
        }
        const void* end = std::memchr(base_ + at, '\0', size_ - at);
        if (end == nullptr) {
            return false;
        }
        at = static_cast<std::uint64_t>(static_cast<const char*>(end) - base_) + 1;
    }
    return true;
}

bool Plan::array_fits(const wire::PlanSpan& span, std::uint64_t element) const {
    if (span.offset == 0) {
        return span.count == 0;
    }
    return span.offset % element == 0 && span.offset <= size_ &&
           span.count <= (size_ - span.offset) / element;
}

bool Plan::is_sound() const {
    const wire::LaunchPlan& plan = *header_;
    for (const wire::PlanSpan* span :
         {&plan.user_name, &plan.group_name, &plan.names_helper, &plan.executable, &plan.arguments,
          &plan.environment, &plan.directory}) {
        if (!strings_fit(*span)) {
            return false;
        }
    }
    return plan.size == size_ && plan.executable.count == 1 && plan.arguments.count >= 1 &&
           array_fits(plan.supplementary, sizeof(std::uint32_t)) &&
           array_fits(plan.limits, sizeof(std::uint64_t)) &&
           plan.limits.count <= (size_ - plan.limits.offset) / sizeof(wire::PlanLimit) &&
           array_fits(plan.affinity, sizeof(std::uint64_t)) &&
           array_fits(plan.memory_nodes, sizeof(std::uint64_t)) &&
           array_fits(plan.filter, sizeof(sock_filter)) && plan.filter.count <= BPF_MAXINSNS &&
           array_fits(plan.passed_fds, sizeof(std::int32_t));
}

const char* Plan::text(const wire::PlanSpan& span) const {
    return span.offset == 0 || span.count == 0 ? nullptr : base_ + span.offset;
}

}  // namespace gpcsup::exec
