#include "controllers/cpu_wishes.h"

#include <limits>

namespace gpcsup::controllers {

using base::CpuList;
using base::ProcessId;
using base::ThreadId;

namespace {

// In the order of the map, before every thread of the process.
ThreadId first_of(ProcessId process) {
    return {process, std::numeric_limits<pid_t>::min(), 0};
}

}  // namespace

void CpuWishes::ask(const ThreadId& thread, const CpuList& asked, const CpuList& given) {
    if (wishes_.size() < at_most || wishes_.contains(thread)) {
        wishes_.insert_or_assign(thread, Wish{asked, given});
    }
}

CpuList CpuWishes::settle(const ThreadId& thread, const CpuList& has, const CpuList& before,
                          const CpuList& now) {
    const auto known = wishes_.find(thread);
    const bool narrower = has.is_subset_of(before) && has != before;
    CpuList wish;
    // Whoever has CPUs that its group had not was put there by the kernel, which takes a thread whose last
    // CPU goes offline to any other.
    if (known != wishes_.end() && (has == known->second.given || !has.is_subset_of(before))) {
        wish = known->second.asked;
    } else if (narrower) {
        const Wish* maker = of_process(thread.process, has);
        wish = maker != nullptr ? maker->asked : has;
    }
    if (wish.empty()) {
        wishes_.erase(thread);
        return now;
    }
    const CpuList left = wish.intersect(now);
    const CpuList& given = left.empty() ? now : left;
    ask(thread, wish, given);
    return given;
}

const CpuWishes::Wish* CpuWishes::of_process(ProcessId process, const CpuList& given) const {
    for (auto at = wishes_.lower_bound(first_of(process));
         at != wishes_.end() && at->first.process == process; ++at) {
        if (at->second.given == given) {
            return &at->second;
        }
    }
    return nullptr;
}

// A mask that is all of the group's may come from a thread that never wished for anything, where the parent
// has several.
void CpuWishes::inherit(ProcessId parent, Makers makers, const ThreadId& child, const CpuList& mask,
                        const CpuList& group) {
    const Wish* maker = of_process(parent, mask);
    if (maker != nullptr && (makers == Makers::one || mask != group)) {
        const Wish copy = *maker;
        ask(child, copy.asked, copy.given);
    }
}

void CpuWishes::forget(ProcessId process) {
    auto at = wishes_.lower_bound(first_of(process));
    while (at != wishes_.end() && at->first.process == process) {
        at = wishes_.erase(at);
    }
}

void CpuWishes::tidy(const std::function<bool(const ThreadId&)>& is_there) {
    if (wishes_.size() >= at_most / 2) {
        std::erase_if(wishes_, [&](const auto& wish) { return !is_there(wish.first); });
    }
}

}  // namespace gpcsup::controllers
