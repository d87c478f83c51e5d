#pragma once
// How many open file descriptions are charged to a group: those that its members have a descriptor of, each
// once, however many descriptors it has; and those that a process has taken with it to another group. A
// description is charged where its holder was when it got it, and stays charged there. Nothing is kept open
// to know that: whoever left is remembered with its descriptors (witnesses), and a witness whose number shows
// another file is forgotten. What this cannot know is told in docs/why/open-files.md.

#include <functional>
#include <map>
#include <set>
#include <vector>

#include "grouping/forest.h"
#include "processes/process_table.h"
#include "sys/open_files.h"
#include "sys/proc_files.h"

namespace gpcsup::processes {

class FileBook {
  public:
    FileBook(const grouping::Forest& forest, ProcessTable& table, sys::ProcFiles& proc, sys::OpenFiles& files)
        : forest_(forest), table_(table), proc_(proc), files_(files) {}

    // Charged to the group, and to those below where they count in it, now. `settle` brings news of forks in,
    // once before each look at who is a member. With fewer descriptors than `plenty`, their number is answer
    // enough: never too low, and cheaper to have.
    [[nodiscard]] std::uint64_t count(grouping::GroupId group, const std::function<void()>& settle,
                                      std::uint64_t plenty = 0);

    // The process is about to leave the group: what it has open stays charged there.
    void leave(const Process& process, grouping::GroupId from);
    void forked(const Process& parent, const Process& child);  // the child holds what its parent does
    void ended(const Process& process);
    // What groups have open in processes that are elsewhere now, after a look at each witness.
    [[nodiscard]] std::map<grouping::GroupId, std::uint64_t> open_elsewhere();
    [[nodiscard]] bool empty() const { return witnesses_.empty(); }

  private:
    struct Witness {
        sys::FileIdentity file;
        grouping::GroupId group;
    };
    using Files = std::map<int, Witness>;  // by number
    struct Entry {
        sys::Descriptor descriptor;
        grouping::GroupId charged;  // by a witness; none: to whoever holds it
        base::ProcessId holder;
    };
    using Entries = std::vector<Entry>;

    void list_members(grouping::GroupId group, const std::function<void()>& settle, Entries& entries);
    void list_process(const Process& process, Entries& entries);
    void list_table(const base::ProcessId& holder, pid_t task, Entries& entries);
    void list_witnesses(grouping::GroupId group, Entries& entries);
    // Those among `wanted` that still show what they showed; the others are forgotten.
    using Wanted = std::function<bool(const base::ProcessId& holder, grouping::GroupId charged)>;
    [[nodiscard]] Entries look_at_witnesses(const Wanted& wanted);
    [[nodiscard]] grouping::GroupId charged_to(const base::ProcessId& holder,
                                               const sys::Descriptor& descriptor);
    [[nodiscard]] bool is_member(const base::ProcessId& process, grouping::GroupId group) const;
    [[nodiscard]] std::vector<Entries> by_description(const Entries& entries);
    void spread(const Entries& description, grouping::GroupId charged);

    const grouping::Forest& forest_;
    ProcessTable& table_;
    sys::ProcFiles& proc_;
    sys::OpenFiles& files_;
    std::map<base::ProcessId, Files> witnesses_;
};

}  // namespace gpcsup::processes
