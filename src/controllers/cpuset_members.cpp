// The half of cpuset that gives processes and threads their masks; which CPUs a group has is in cpuset.cpp.

#include <algorithm>
#include <cerrno>
#include <utility>

#include "controllers/cpuset.h"

namespace gpcsup::controllers {

using base::CpuList;
using grouping::GroupId;

std::vector<base::ProcessId> Cpuset::members(GroupId group) {
    std::vector<base::ProcessId> found;
    host_.processes().for_each_member(group, [&](processes::Process& each) { found.push_back(each.id()); });
    return found;
}

Cpuset::Threads Cpuset::threads_apart(base::ProcessId process, GroupId group) {
    const grouping::Group* at = host_.forest().group(group);
    return host_.threads_apart().empty() || at == nullptr ? Threads{}
                                                          : host_.threads_apart().of(process, at->hierarchy);
}

// Gives every thread of the group, which had `before`, what it is to have now.
base::Result<> Cpuset::settle_members(GroupId group, const CpuList& before) {
    wishes_.tidy([&](const base::ThreadId& thread) { return host_.affinity(thread).has_value(); });
    base::Result<> first;
    const auto note = [&](base::Result<> applied) {
        if (!applied && applied.error().code != ESRCH && first) {
            first = std::move(applied);
        }
    };
    const CpuList& now = states_.at(group).effective;
    const auto choose = [&](const base::ThreadId& thread, const CpuList& has) {
        CpuList mask = wishes_.settle(thread, has, before, now);
        return mask == has ? std::nullopt : std::optional(std::move(mask));
    };
    for (const base::ProcessId member : members(group)) {
        note(host_.settle_affinity(member, choose, threads_apart(member, group)));
    }
    for (const base::ThreadId& thread : host_.threads_apart().members(group)) {
        note(settle_thread(thread, before, now));
    }
    return first;
}

base::Result<> Cpuset::settle_thread(const base::ThreadId& thread, const CpuList& before,
                                     const CpuList& now) {
    auto has = host_.whole_affinity(thread);
    if (!has) {
        return base::pass(has);
    }
    const CpuList mask = wishes_.settle(thread, *has, before, now);
    return mask == *has ? base::Result<>() : host_.set_affinity(thread, mask);
}

// Nobody is restricted there, and the kernel lets everybody run on what returns; but who came from elsewhere
// has the CPUs of then. Who is gone, or whom the kernel's own cpuset forbids it, is left: status shows what
// holds.
void Cpuset::widen_members(GroupId group, const CpuList& before) {
    const CpuList& cpus = states_.at(group).effective;
    for (const base::ProcessId member : members(group)) {
        static_cast<void>(host_.adapt_affinity(member, before, cpus, threads_apart(member, group)));
    }
    for (const base::ThreadId& thread : host_.threads_apart().members(group)) {
        const auto has = host_.affinity(thread);
        if (has && (!has->is_subset_of(cpus) || *has == before)) {
            static_cast<void>(host_.set_affinity(thread, cpus));
        }
    }
}

base::Result<> Cpuset::apply(const Move& move, const CpuList& cpus) {
    const base::ProcessId process = move.process->id();
    if (!move.thread) {
        wishes_.forget(process);
        moved_.insert(process);  // a child of this moment may be told of later, with the old mask
        return host_.set_affinity(process, cpus, threads_apart(process, move.to));
    }
    if (host_.processes().place(*move.process, host_.forest().group(move.to)->hierarchy) == move.to) {
        moved_.insert(process);  // it comes home, and a child of its own may have the mask of before
    }
    wishes_.forget(*move.thread);
    return host_.set_affinity(*move.thread, cpus);
}

base::Result<> Cpuset::can_start(GroupId group) {
    const State* state = find(group);
    return state == nullptr ? base::Result<>()
                            : check_room_in(host_.forest(), group, "cpuset.cpus", state->asked);
}

base::Result<> Cpuset::attach(std::span<const Move> moves) {
    forget_old_moves();
    base::Result<> first;
    for (const Move& move : moves) {
        const State* state = find(move.to);
        if (state == nullptr ||
            (find(move.from) != nullptr && !restricted(move.from) && !restricted(move.to))) {
            continue;  // nobody has asked for anything: a mask that it chose itself stays
        }
        auto applied = apply(move, state->effective);
        if (!applied && applied.error().code != ESRCH && first) {
            first = std::move(applied);
        }
    }
    return first;
}

// Two generations, so that everybody is forgotten after one to two intervals without a look at each.
void Cpuset::forget_old_moves() {
    const auto now = host_.now();
    if (now - rotated_ < overtaken_for) {
        return;
    }
    moved_before_.clear();
    if (now - rotated_ < 2 * overtaken_for) {
        moved_before_.swap(moved_);
    } else {
        moved_.clear();
    }
    rotated_ = now;
}

bool Cpuset::moved_lately(const processes::Process& process) {
    if (moved_.empty() && moved_before_.empty()) {
        return false;
    }
    forget_old_moves();
    return moved_.contains(process.id()) || moved_before_.contains(process.id());
}

// A child has its parent's mask of the moment of the fork, which a move or a change of the group may have
// overtaken. One that is too wide shows; one that is too narrow may also be the child's own wish, except
// where its parent has just been moved.
void Cpuset::fork(const processes::Process& parent, processes::Process& child, GroupId group) {
    const bool overtaken = moved_lately(parent);
    const Threads apart = threads_apart(parent.id(), group);
    if (find(group) == nullptr || (!restricted(group) && !overtaken && apart.empty())) {
        return;
    }
    const CpuList& effective = states_.at(group).effective;
    const auto has = host_.affinity(child.id());
    if (has && (!has->is_subset_of(effective) || (overtaken && *has != effective) ||
                is_of_thread_apart(*has, apart, group))) {
        static_cast<void>(
            host_.set_affinity(child.id(), effective, {}));  // gone, or not ours: the parent's fate as well
    } else if (has && !wishes_.empty()) {
        wishes_.inherit(parent.id(),
                        parent.threads == 1 ? CpuWishes::Makers::one : CpuWishes::Makers::several,
                        {child.id(), child.pid, child.start_time}, *has, effective);
    }
}

// Whether a mask is the one that a thread apart has, and so what it started.
bool Cpuset::is_of_thread_apart(const CpuList& mask, const Threads& apart, GroupId group) {
    const grouping::HierarchyId hierarchy = host_.forest().group(group)->hierarchy;
    return std::ranges::any_of(apart, [&](const base::ThreadId& thread) {
        const State* state = find((*host_.threads_apart().find(thread))[hierarchy.value]);
        return state != nullptr && state->effective == mask;
    });
}

// Where nobody told which thread is new, a CPU too many shows; a narrow mask may be somebody's own wish.
void Cpuset::thread_started(const processes::Process& process, const std::optional<base::ThreadId>& thread,
                            GroupId group) {
    const Threads apart = threads_apart(process.id(), group);
    if (apart.empty() || find(group) == nullptr) {
        return;
    }
    const CpuList& effective = states_.at(group).effective;
    if (!thread) {
        static_cast<void>(host_.adapt_affinity(process.id(), {}, effective, apart));
        return;
    }
    const auto has = host_.affinity(*thread);
    if (has && (!has->is_subset_of(effective) || is_of_thread_apart(*has, apart, group))) {
        static_cast<void>(host_.set_affinity(*thread, effective));
    }
}

// All CPUs that are there, or more, is no choice.
void Cpuset::affinity_asked(const base::ThreadId& thread, const CpuList& asked, const CpuList& given) {
    const State* root = find(root_);
    if (root != nullptr && root->effective.is_subset_of(asked)) {
        wishes_.forget(thread);
    } else if (root != nullptr) {
        wishes_.ask(thread, asked, given);
    }
}

void Cpuset::exit(const processes::Process& process, GroupId group) {
    static_cast<void>(group);
    wishes_.forget(process.id());
}

}  // namespace gpcsup::controllers
