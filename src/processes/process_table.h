#pragma once
// Every process below gpc-init, by pid, with its membership and its book. One writer: gpcsupd. The rows are
// in a memfd that gpc-init keeps; the indexes (by pid, by parent, by book) are heap and are rebuilt on
// adoption. It opens no process and reads no /proc. Pointers to rows stay valid; a row is used for another
// process only after erase.

#include <functional>
#include <memory>

#include "base/fd.h"
#include "base/result.h"
#include "grouping/forest.h"
#include "processes/books.h"
#include "processes/process.h"

namespace gpcsup::processes {

class ProcessTable {
  public:
    // A new table in a new memfd, or the one a predecessor left (its rows and membership combinations are
    // interned anew in `forest`, whose groups must have been restored before). A memory of another version is
    // refused with EPROTO. `root` is gpc-init: it is the parent of rows, never a row.
    static base::Result<std::unique_ptr<ProcessTable>> create(grouping::Forest& forest, pid_t root = 0);
    static base::Result<std::unique_ptr<ProcessTable>> adopt(grouping::Forest& forest, base::Fd memfd,
                                                             pid_t root = 0);
    ~ProcessTable();
    ProcessTable(const ProcessTable&) = delete;
    ProcessTable& operator=(const ProcessTable&) = delete;

    [[nodiscard]] int descriptor() const;  // to be kept under KeepClass::process_table
    [[nodiscard]] pid_t root() const { return root_; }

    [[nodiscard]] Process* find(pid_t pid);           // also dead ones until they are erased
    [[nodiscard]] Process* find(base::ProcessId id);  // only if the start time agrees
    // ENOSPC: table full; EEXIST: the pid has a row.
    base::Result<Process*> insert(base::ProcessId id, pid_t parent, grouping::MembershipId membership);
    void erase(Process& process);  // releases the membership if still held
    void erase(Process& process,
               Transaction& with);     // the same as the last part of a transaction, which it commits
    void mark_dead(Process& process);  // releases the membership: zombies are not members
    void move(Process& process, grouping::MembershipId membership);
    void reparent(Process& process, pid_t parent);

    // The groups of a process, dead or alive.
    [[nodiscard]] grouping::Places places(const Process& process) const;
    [[nodiscard]] grouping::GroupId place(const Process& process, grouping::HierarchyId hierarchy) const;

    [[nodiscard]] std::size_t size() const;                     // live processes
    [[nodiscard]] std::size_t dead() const;                     // and those not settled yet
    void for_each(const std::function<void(Process&)>& visit);  // live and dead
    void for_each_child(pid_t parent, const std::function<void(Process&)>& visit);  // live and dead
    // Live members of the group itself, or of it and all below. `visit` may move or erase the process it is
    // given.
    void for_each_member(grouping::GroupId group, const std::function<void(Process&)>& visit);
    void for_each_member_below(grouping::GroupId group, const std::function<void(Process&)>& visit);
    // Those who count in the group: of it alone where every group has its own books only, else of all below
    // as well. And the dead who do and are not erased yet: tasks to the kernel until they are reaped.
    void for_each_counted(grouping::GroupId group, const std::function<void(Process&)>& visit);
    void for_each_dead_counted(grouping::GroupId group, const std::function<void(Process&)>& visit);

    [[nodiscard]] Books& books();
    [[nodiscard]] SharedTable& shared() { return *shared_; }  // for transactions of the ledger

  private:
    struct Index;
    enum class Reach : std::uint8_t { group, below, counted };
    enum class Condition : std::uint8_t { alive, dead };
    ProcessTable(grouping::Forest& forest, base::Fd memfd, SharedTable* shared, pid_t root);
    void rebuild();
    void link(std::uint32_t row);
    void unlink(std::uint32_t row);
    [[nodiscard]] bool reaches(Reach reach, std::uint32_t book, const grouping::Group& group) const;
    void visit_members(grouping::GroupId group, Reach reach, Condition condition,
                       const std::function<void(Process&)>& visit);
    [[nodiscard]] std::uint32_t row_of(const Process& process) const;
    [[nodiscard]] std::uint32_t parent_row(pid_t parent) const;
    void adopt_strays(std::uint32_t parent);
    void set_book(Process& process, std::uint32_t book);

    grouping::Forest& forest_;
    base::Fd memfd_;
    SharedTable* shared_;
    pid_t root_;
    std::unique_ptr<Index> index_;
};

}  // namespace gpcsup::processes
