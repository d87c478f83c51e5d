#pragma once
// Every process below gpc-init, by pid, with its membership. One writer: gpcsupd. The rows are in a memfd that gpc-init
// keeps; the indexes (by pid, by membership) are heap and are rebuilt on adoption. It opens no process and reads no /proc.

#include <functional>
#include <memory>

#include "base/fd.h"
#include "base/result.h"
#include "grouping/forest.h"
#include "processes/process.h"

namespace gpcsup::processes {

class ProcessTable {
  public:
    // A new table in a new memfd, or the one a predecessor left (its rows and membership combinations are interned anew in
    // `forest`, whose groups must have been restored before). Rows of another version are refused with EPROTO.
    static base::Result<std::unique_ptr<ProcessTable>> create(grouping::Forest& forest);
    static base::Result<std::unique_ptr<ProcessTable>> adopt(grouping::Forest& forest, base::Fd memfd);
    ~ProcessTable();

    [[nodiscard]] int descriptor() const;  // to be kept under KeepClass::process_table

    [[nodiscard]] Process* find(pid_t pid);              // also dead ones until they are erased
    [[nodiscard]] Process* find(base::ProcessId id);     // only if the start time agrees
    base::Result<Process*> insert(base::ProcessId id, pid_t parent, grouping::MembershipId membership);  // ENOSPC: table full
    void erase(Process& process);                        // releases the membership if still held
    void mark_dead(Process& process);                    // releases the membership: zombies are not members
    void move(Process& process, grouping::MembershipId membership);
    void reparent(Process& process, pid_t parent);

    [[nodiscard]] std::size_t size() const;  // live processes
    void for_each(const std::function<void(Process&)>& visit);
    void for_each_child(pid_t parent, const std::function<void(Process&)>& visit);
    // Live members of the group itself, or of it and all below. `visit` may move or erase the process it is given.
    void for_each_member(grouping::GroupId group, const std::function<void(Process&)>& visit);
    void for_each_member_below(grouping::GroupId group, const std::function<void(Process&)>& visit);

    // Places combinations are kept in shared memory beside the rows: call after Forest::intern made a new one.
    void record_membership(grouping::MembershipId id);

  private:
    struct Shared;
    struct Index;
    ProcessTable(grouping::Forest& forest, base::Fd memfd, Shared* shared);
    grouping::Forest& forest_;
    base::Fd memfd_;
    Shared* shared_;
    std::unique_ptr<Index> index_;
};

}  // namespace gpcsup::processes
