#include "supervisor/affinity_service.h"

#include <cerrno>
#include <set>

namespace gpcsup::supervisor {

AffinityService::AffinityService(EventLoop& loop, Census& census, launch::EnforcementClient& client,
                                 std::string reader_program, AllowedCpus allowed, Granted granted,
                                 AllowedNodes nodes)
    : loop_(loop),
      census_(census),
      pool_(std::move(reader_program)),
      calls_(client, pool_, *this),
      policies_(client, pool_, *this),
      allowed_(std::move(allowed)),
      granted_(std::move(granted)),
      nodes_(std::move(nodes)) {}

base::Result<> AffinityService::open() {
    auto timer = loop_.on_time(EventLoop::Priority::enforcement, [this] {
        const launch::Moment now{std::chrono::nanoseconds(monotonic_now_ns())};
        watches_.clear();  // a late reader is closed, and its number may be its replacement's at once
        pool_.on_deadline(now);
        calls_.on_deadline(now);
        rewatch();
    });
    if (!timer) {
        return base::pass(timer);
    }
    timer_ = std::move(*timer);
    return {};
}

void AffinityService::take(const launch::ParkedCall& call) {
    if (call.trap_class == wire::TrapClass::policy) {
        policies_.take(call);
    } else {
        calls_.take(call);
    }
    rewatch();
}

// The readers come and go: whatever the pool has now is watched.
void AffinityService::rewatch() {
    const auto descriptors = pool_.descriptors();
    const std::set<int> wanted(descriptors.begin(), descriptors.end());
    std::erase_if(watches_, [&](const auto& watch) { return !wanted.contains(watch.first); });
    for (const int descriptor : wanted) {
        if (watches_.contains(descriptor)) {
            continue;
        }
        auto watch = loop_.on_readable(descriptor, EventLoop::Priority::enforcement, [this, descriptor] {
            // Readers that have died are closed in there, and their numbers may be others' afterwards.
            watches_.clear();
            pool_.on_readable(descriptor);
            rewatch();
        });
        if (watch) {
            watches_.emplace(descriptor, std::move(*watch));
        }
    }
    auto next = pool_.deadline();
    if (const auto calls = calls_.deadline(); calls && (!next || *calls < *next)) {
        next = calls;
    }
    loop_.arm(
        timer_,
        next ? static_cast<std::uint64_t>(std::max<std::int64_t>(1, next->time_since_epoch().count())) : 0);
}

const processes::Process* AffinityService::process_of(pid_t tid) {
    if (const processes::Process* process = census_.table().find(tid)) {
        return process;
    }
    auto status = census_.files().status(tid);  // a thread's file names its process
    if (!status) {
        return nullptr;
    }
    return census_.table().find(sys::process_of(*status));
}

base::Result<base::CpuList> AffinityService::allowed(pid_t caller_tid, pid_t target_tid) {
    census_.drain_tracker();
    const processes::Process* target = process_of(target_tid);
    if (target == nullptr || process_of(caller_tid) == nullptr) {
        return base::fail(EPERM, "set the affinity of", "process " + std::to_string(target_tid),
                          "it is not one of ours");
    }
    return allowed_(*target, target_tid);
}

base::Result<launch::PolicyRules::Nodes> AffinityService::nodes(pid_t caller_tid, pid_t target_tid) {
    census_.drain_tracker();
    const processes::Process* target = process_of(target_tid);
    if (target == nullptr || process_of(caller_tid) == nullptr) {
        return base::fail(EPERM, "set the memory policy of", "process " + std::to_string(target_tid),
                          "it is not one of ours");
    }
    return nodes_(*target, target_tid);
}

void AffinityService::granted(pid_t target_tid, const base::CpuList& asked, const base::CpuList& given) {
    if (const auto target = sys::identify_thread(census_.files(), target_tid)) {
        granted_(*target, asked, given);
    }
}

void AffinityService::reapply(pid_t target_tid) {
    const processes::Process* target = process_of(target_tid);
    if (target == nullptr) {
        return;
    }
    sys::RealAffinity affinity(census_.files());
    auto now = affinity.whole(target_tid);
    const base::CpuList allowed = allowed_(*target, target_tid);
    if (now && !now->is_subset_of(allowed)) {
        const base::CpuList both = now->intersect(allowed);
        (void)affinity.set_thread(target_tid, both.empty() ? allowed : both);  // ESRCH: it has gone
    }
}

}  // namespace gpcsup::supervisor
