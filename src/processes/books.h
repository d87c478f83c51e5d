#pragma once
// The CPU time of groups. A book is kept for each distinct *combination* of groups, not for each group: one
// entry then counts in every hierarchy at once (cpuacct's, `unit`, and any that cpuacct is bound to later),
// and a group's usage is the sum over the books whose place in its hierarchy is the group or lies below it.
// So:
//  - the sums over all hierarchies are the same number, by construction;
//  - a process that dies, a membership that retires, leaves its time where it was: books are not freed with
//  their processes;
//  - when a group is removed its books are rewritten to its parent, as what groups that are gone used below
//  it: what is
//    shown of any ancestor does not change, nor does what its own processes used. A book that thereby has the
//    groups of another one, and that no process refers to, is merged into it. So there are never many more
//    books than combinations of groups that exist;
//  - a book never decreases, and user + system = usage because only usage and system are kept.
// A hierarchy made later finds the time of all processes that are in no group of it at its root. Books are in
// the process table's shared memory and covered by its transactions.

#include <cstdint>
#include <map>
#include <memory_resource>
#include <unordered_map>
#include <vector>

#include "base/lasting_memory.h"
#include "grouping/forest.h"
#include "processes/table_layout.h"
#include "processes/transaction.h"

namespace gpcsup::processes {

struct CpuTime {  // nanoseconds
    std::uint64_t usage_ns = 0;
    std::uint64_t user_ns = 0;
    std::uint64_t system_ns = 0;
    std::uint64_t estimated_ns = 0;
    CpuTime& operator+=(const CpuTime& other);
    bool operator==(const CpuTime&) const = default;
};

class Books {
  public:
    Books(grouping::Forest& forest, SharedTable& shared);

    // The book of this combination. When all are in use the book of the roots takes its place: the sum stays
    // right.
    std::uint32_t open(const grouping::Places& places);
    [[nodiscard]] grouping::Places places(std::uint32_t book) const;
    [[nodiscard]] grouping::GroupId place(std::uint32_t book, grouping::HierarchyId hierarchy) const;
    // Whether the book's time counts for the group (of the hierarchy with this number).
    [[nodiscard]] bool is_within(std::uint32_t book, grouping::GroupId group, unsigned slot) const;
    // Whether it is among the group's own books, as those of its hierarchy are kept (Forest::counts_in).
    [[nodiscard]] bool counts_in(std::uint32_t book, const grouping::Group& group) const;

    // Whether a book names this very group: it has, or had, a process.
    [[nodiscard]] bool has(grouping::GroupId group) const;

    // Processes and their Waited entries keep a book from being merged.
    void acquire(std::uint32_t book);
    void release(std::uint32_t book);

    void charge(Transaction& transaction, std::uint32_t book, std::uint64_t usage, std::uint64_t system);
    void charge_estimated(Transaction& transaction, std::uint32_t book, std::uint64_t estimated);

    [[nodiscard]] CpuTime usage(grouping::GroupId group) const;      // here and below
    [[nodiscard]] CpuTime own_usage(grouping::GroupId group) const;  // here, and never below
    [[nodiscard]] CpuTime total() const;
    // All groups of a hierarchy, each with what is below it: one pass for a screen that shows many.
    [[nodiscard]] std::unordered_map<grouping::GroupId, CpuTime> usage_of_all(
        grouping::HierarchyId hierarchy) const;

    // The time of a group that goes is its parent's from now on; call between the two records of the removal.
    void forget_group(grouping::GroupId group, grouping::GroupId parent);
    void forget_hierarchy(grouping::HierarchyId hierarchy);
    void learn_hierarchy(grouping::HierarchyId hierarchy);  // after it was created
    void merge_doubles();

    [[nodiscard]] std::uint32_t used() const { return shared_.books_used; }

  private:
    [[nodiscard]] grouping::Places sanitised(const grouping::Places& places) const;
    [[nodiscard]] bool is_own(std::uint32_t book, const grouping::Group& group) const;
    void index(std::uint32_t book);
    void replace_place(std::uint32_t book, unsigned slot, grouping::GroupId by);
    void merge_if_double(std::uint32_t book);
    grouping::Forest& forest_;
    SharedTable& shared_;
    std::pmr::map<grouping::Places, std::uint32_t> by_places_{base::lasting_memory()};
    std::vector<std::uint32_t> references_;
    std::vector<std::uint32_t> free_;
};

}  // namespace gpcsup::processes
