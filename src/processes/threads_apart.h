#pragma once
// The threads that are in another group than their process, by hierarchy: they are few, and each was moved by
// somebody's hand. A thread that is not in this book is where its process is. Pure bookkeeping: whether a
// thread is still there is for others to find out, and so is who keeps the book for a successor. The forest's
// counters follow it.

#include <map>
#include <optional>
#include <vector>

#include "base/process_id.h"
#include "base/result.h"
#include "grouping/forest.h"

namespace gpcsup::processes {

class ThreadsApart {
  public:
    explicit ThreadsApart(grouping::Forest& forest) : forest_(forest) {}
    ThreadsApart(const ThreadsApart&) = delete;
    ThreadsApart& operator=(const ThreadsApart&) = delete;

    static constexpr std::size_t most = 4096;
    // ENOSPC when the book has no room for those of these threads that it does not know.
    [[nodiscard]] base::Result<> check_room(const std::vector<base::ThreadId>& threads) const;

    // Its own groups from now on, GroupId{0} where it is with its process; none at all = it is forgotten.
    void place(const base::ThreadId& thread, const grouping::Places& own);
    void forget(const base::ThreadId& thread) { place(thread, grouping::Places{}); }

    [[nodiscard]] bool empty() const { return own_.empty(); }
    [[nodiscard]] std::size_t size() const { return own_.size(); }
    [[nodiscard]] const grouping::Places* find(const base::ThreadId& thread) const;  // null: not apart
    [[nodiscard]] std::optional<base::ThreadId> find(base::ProcessId process, pid_t tid) const;
    [[nodiscard]] std::vector<base::ThreadId> of(base::ProcessId process) const;
    [[nodiscard]] std::vector<base::ThreadId> of(base::ProcessId process,
                                                 grouping::HierarchyId hierarchy) const;
    // In the group itself, or in it and all below.
    [[nodiscard]] std::vector<base::ThreadId> members(grouping::GroupId group) const;
    [[nodiscard]] std::vector<base::ThreadId> members_below(grouping::GroupId group) const;
    [[nodiscard]] const std::map<base::ThreadId, grouping::Places>& all() const { return own_; }

  private:
    grouping::Forest& forest_;
    std::map<base::ThreadId, grouping::Places> own_;  // those of a process are neighbours
};

}  // namespace gpcsup::processes
