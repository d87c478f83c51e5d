#pragma once
// Which CPUs threads have chosen for themselves inside their groups, by sched_setaffinity. A group whose CPUs
// change gives each of them what is left of its own choice, and all of it back when the group has those CPUs
// again: the kernel does the same since Linux 6.2 for its own cpusets. Pure; asks nobody and sets nothing.
//
// A choice is known because it was told (the call was trapped), or seen: a mask narrower than the group's is
// the thread's own. What is remembered is bounded; a choice too many is kept only as long as it is visible.

#include <cstddef>
#include <functional>
#include <map>

#include "base/cpu_list.h"
#include "base/process_id.h"

namespace gpcsup::controllers {

class CpuWishes {
  public:
    static constexpr std::size_t at_most = 4096;

    // The thread asked for these CPUs, of which it was given those that its group has.
    void ask(const base::ThreadId& thread, const base::CpuList& asked, const base::CpuList& given);
    // The mask for a thread that has `has` (offline CPUs included), in a group that had `before` and has
    // `now`.
    base::CpuList settle(const base::ThreadId& thread, const base::CpuList& has, const base::CpuList& before,
                         const base::CpuList& now);
    enum class Makers { one, several };  // threads that the parent has: which of them made the child?
    // A child has the mask and the wish of the thread that made it. `group` is what its group has.
    void inherit(base::ProcessId parent, Makers makers, const base::ThreadId& child,
                 const base::CpuList& mask, const base::CpuList& group);
    void forget(base::ProcessId process);
    void forget(const base::ThreadId& thread) { wishes_.erase(thread); }
    // Threads end unseen: drops those that are gone, when there is not much room left.
    void tidy(const std::function<bool(const base::ThreadId&)>& is_there);
    [[nodiscard]] bool empty() const { return wishes_.empty(); }
    [[nodiscard]] std::size_t size() const { return wishes_.size(); }

  private:
    struct Wish {
        base::CpuList asked;
        base::CpuList given;  // as long as it has this, the wish is still its own
    };
    // What a thread of the process asked for that was given this mask; null when there is none.
    [[nodiscard]] const Wish* of_process(base::ProcessId process, const base::CpuList& given) const;
    std::map<base::ThreadId, Wish> wishes_;
};

}  // namespace gpcsup::controllers
