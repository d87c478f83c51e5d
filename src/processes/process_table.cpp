#include "processes/process_table.h"

#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cassert>
#include <cerrno>
#include <string>

#include "processes/pid_index.h"

namespace gpcsup::processes {
namespace {

constexpr std::uint32_t root_row = 0;
constexpr std::uint32_t stray_row = 1;

struct Links {  // row numbers; 0 = none (a list's first member is known to its head only)
    std::uint32_t first_child = 0;
    std::uint32_t next_sibling = 0;
    std::uint32_t previous_sibling = 0;
    std::uint32_t next_of_book = 0;
    std::uint32_t previous_of_book = 0;
    std::uint32_t parent_row = stray_row;
};

base::Result<SharedTable*> map(const base::Fd& memfd) {
    void* memory = ::mmap(nullptr, sizeof(SharedTable), PROT_READ | PROT_WRITE, MAP_SHARED, memfd.get(), 0);
    if (memory == MAP_FAILED) {
        return base::fail(errno, "map", "the process table");
    }
    return static_cast<SharedTable*>(memory);
}

}  // namespace

struct ProcessTable::Index {
    explicit Index(grouping::Forest& forest, SharedTable& shared)
        : pids(std::span<const Process>(shared.rows)), books(forest, shared), links(first_row) {}
    PidIndex pids;
    Books books;
    std::vector<Links> links;
    std::vector<std::uint32_t> book_members;  // first row of each book
    std::vector<std::uint32_t> free_rows;
    std::size_t live = 0;
    std::size_t dead = 0;
};

base::Result<std::unique_ptr<ProcessTable>> ProcessTable::create(grouping::Forest& forest, pid_t root) {
    base::Fd memfd(::memfd_create("gpcsup-processes", MFD_CLOEXEC));
    if (!memfd || ::ftruncate(memfd.get(), sizeof(SharedTable)) != 0) {
        return base::fail(errno, "create", "the process table");
    }
    auto shared = map(memfd);
    if (!shared) {
        return base::pass(shared);
    }
    (*shared)->version = table_version;
    (*shared)->row_size = sizeof(Process);
    (*shared)->book_size = sizeof(Book);
    (*shared)->rows_used = first_row;
    std::unique_ptr<ProcessTable> table(new ProcessTable(forest, std::move(memfd), *shared, root));
    (*shared)->magic = table_magic;
    return table;
}

base::Result<std::unique_ptr<ProcessTable>> ProcessTable::adopt(grouping::Forest& forest, base::Fd memfd,
                                                                pid_t root) {
    struct stat information {};
    if (::fstat(memfd.get(), &information) != 0) {
        return base::fail(errno, "adopt", "the process table");
    }
    if (information.st_size != static_cast<off_t>(sizeof(SharedTable))) {
        return base::fail(EPROTO, "adopt", "the process table", "its size is that of another version");
    }
    auto shared = map(memfd);
    if (!shared) {
        return base::pass(shared);
    }
    const SharedTable& found = **shared;
    if (found.magic != table_magic || found.version != table_version || found.row_size != sizeof(Process) ||
        found.book_size != sizeof(Book) || found.rows_used < first_row || found.rows_used > row_count ||
        found.books_used == 0 || found.books_used > book_count) {
        ::munmap(*shared, sizeof(SharedTable));
        return base::fail(EPROTO, "adopt", "the process table", "it is of another version");
    }
    Transaction::recover(**shared);
    std::unique_ptr<ProcessTable> table(new ProcessTable(forest, std::move(memfd), *shared, root));
    table->rebuild();
    return table;
}

ProcessTable::ProcessTable(grouping::Forest& forest, base::Fd memfd, SharedTable* shared, pid_t root)
    : forest_(forest),
      memfd_(std::move(memfd)),
      shared_(shared),
      root_(root),
      index_(std::make_unique<Index>(forest, *shared)) {}

ProcessTable::~ProcessTable() {
    ::munmap(shared_, sizeof(SharedTable));
}

void ProcessTable::rebuild() {
    index_->links.resize(shared_->rows_used);
    index_->book_members.resize(shared_->books_used);
    for (std::uint32_t row = first_row; row < shared_->rows_used; ++row) {
        Process& process = shared_->rows[row];
        if (process.pid == 0) {
            index_->free_rows.push_back(row);
            continue;
        }
        if (process.book >= shared_->books_used || shared_->books[process.book].used == 0) {
            process.book = 0;
        }
        if (process.has(process_dead)) {
            ++index_->dead;
        } else {
            process.membership = forest_.intern(index_->books.places(process.book));
            forest_.acquire(process.membership);
            ++index_->live;
        }
        index_->books.acquire(process.book);
        for (Waited& waited : process.waited) {
            if (waited.count > 0) {
                waited.book = waited.book < shared_->books_used ? waited.book : 0;
                index_->books.acquire(waited.book);
            }
        }
        index_->pids.insert(row);
    }
    for (std::uint32_t row = first_row; row < shared_->rows_used; ++row) {
        if (shared_->rows[row].pid != 0) {
            link(row);
        }
    }
    index_->books.merge_doubles();
}

int ProcessTable::descriptor() const {
    return memfd_.get();
}

std::uint32_t ProcessTable::row_of(const Process& process) const {
    return static_cast<std::uint32_t>(&process - shared_->rows);
}

std::uint32_t ProcessTable::parent_row(pid_t parent) const {
    if (parent == root_) {
        return root_row;
    }
    const std::uint32_t row = index_->pids.find(parent);
    return row != 0 ? row : stray_row;
}

Process* ProcessTable::find(pid_t pid) {
    const std::uint32_t row = pid > 0 ? index_->pids.find(pid) : 0;
    return row != 0 ? &shared_->rows[row] : nullptr;
}

Process* ProcessTable::find(base::ProcessId id) {
    Process* process = find(id.pid);
    return process != nullptr && process->start_time == id.start_time ? process : nullptr;
}

void ProcessTable::link(std::uint32_t row) {
    auto& links = index_->links;
    const Process& process = shared_->rows[row];
    if (index_->book_members.size() <= process.book) {
        index_->book_members.resize(process.book + 1);
    }
    const std::uint32_t parent = parent_row(process.parent);
    links[row].parent_row = parent;
    links[row].previous_sibling = 0;
    links[row].next_sibling = links[parent].first_child;
    links[row].previous_of_book = 0;
    links[row].next_of_book = index_->book_members[process.book];
    if (links[row].next_sibling != 0) {
        links[links[row].next_sibling].previous_sibling = row;
    }
    if (links[row].next_of_book != 0) {
        links[links[row].next_of_book].previous_of_book = row;
    }
    links[parent].first_child = row;
    index_->book_members[process.book] = row;
}

void ProcessTable::unlink(std::uint32_t row) {
    auto& links = index_->links;
    const Links at = links[row];
    (at.previous_sibling != 0 ? links[at.previous_sibling].next_sibling : links[at.parent_row].first_child) =
        at.next_sibling;
    if (at.next_sibling != 0) {
        links[at.next_sibling].previous_sibling = at.previous_sibling;
    }
    (at.previous_of_book != 0 ? links[at.previous_of_book].next_of_book
                              : index_->book_members[shared_->rows[row].book]) = at.next_of_book;
    if (at.next_of_book != 0) {
        links[at.next_of_book].previous_of_book = at.previous_of_book;
    }
}

// A parent that becomes known after its children: seldom, so the strays are looked through one by one.
void ProcessTable::adopt_strays(std::uint32_t parent) {
    std::vector<std::uint32_t> own;
    for (std::uint32_t row = index_->links[stray_row].first_child; row != 0;
         row = index_->links[row].next_sibling) {
        if (shared_->rows[row].parent == shared_->rows[parent].pid) {
            own.push_back(row);
        }
    }
    for (const std::uint32_t row : own) {
        unlink(row);
        link(row);
    }
}

base::Result<Process*> ProcessTable::insert(base::ProcessId id, pid_t parent,
                                            grouping::MembershipId membership) {
    if (find(id.pid) != nullptr) {
        return base::fail(EEXIST, "record", "process " + std::to_string(id.pid));
    }
    std::uint32_t row = 0;
    if (!index_->free_rows.empty()) {
        row = index_->free_rows.back();
        index_->free_rows.pop_back();
    } else if (shared_->rows_used < row_count) {
        row = shared_->rows_used++;
        index_->links.resize(shared_->rows_used);
    } else {
        return base::fail(ENOSPC, "record", "process " + std::to_string(id.pid), "the process table is full");
    }
    Process fresh;
    fresh.parent = parent;
    fresh.start_time = id.start_time;
    fresh.membership = membership;
    fresh.book = index_->books.open(forest_.places(membership));
    if (const Process* origin = find(parent)) {
        std::ranges::copy(origin->placed_by, fresh.placed_by);
    }
    Process& process = shared_->rows[row];
    process = fresh;
    std::atomic_signal_fence(std::memory_order_seq_cst);
    process.pid = id.pid;  // last: from here on the row is in use
    index_->links[row].first_child = 0;
    index_->books.acquire(process.book);
    index_->pids.insert(row);
    link(row);
    adopt_strays(row);
    forest_.acquire(membership);
    ++index_->live;
    return &process;
}

void ProcessTable::erase(Process& process) {
    Transaction transaction(*shared_);
    erase(process, transaction);
}

void ProcessTable::erase(Process& process, Transaction& with) {
    const std::uint32_t row = row_of(process);
    while (const std::uint32_t child = index_->links[row].first_child) {
        unlink(child);
        const pid_t parent = std::exchange(shared_->rows[child].parent, -1);
        link(child);
        shared_->rows[child].parent = parent;  // a stray keeps the number: its parent may be heard of again
    }
    unlink(row);
    index_->pids.erase(process.pid);
    // A book that is released may be merged in a transaction of its own: not before this one is over.
    with.set(process.pid, 0);
    with.commit();
    for (const Waited& waited : process.waited) {
        if (waited.count > 0) {
            index_->books.release(waited.book);
        }
    }
    index_->books.release(process.book);
    if (process.has(process_dead)) {
        --index_->dead;
    } else {
        --index_->live;
        forest_.release(process.membership);
    }
    index_->free_rows.push_back(row);
}

void ProcessTable::mark_dead(Process& process) {
    if (process.has(process_dead)) {
        return;
    }
    process.flags |= process_dead;
    --index_->live;
    ++index_->dead;
    forest_.release(process.membership);
}

void ProcessTable::set_book(Process& process, std::uint32_t book) {
    if (book == process.book) {
        return;
    }
    const std::uint32_t row = row_of(process);
    const std::uint32_t old = process.book;
    unlink(row);
    index_->books.acquire(book);
    process.book = book;
    link(row);
    index_->books.release(old);
}

void ProcessTable::move(Process& process, grouping::MembershipId membership) {
    assert(!process.has(process_dead));
    forest_.acquire(membership);
    forest_.release(process.membership);
    process.membership = membership;
    process.flags |= process_moved;
    set_book(process, index_->books.open(forest_.places(membership)));
}

void ProcessTable::reparent(Process& process, pid_t parent) {
    const std::uint32_t row = row_of(process);
    unlink(row);
    process.parent = parent;
    link(row);
}

grouping::Places ProcessTable::places(const Process& process) const {
    return index_->books.places(process.book);
}

grouping::GroupId ProcessTable::place(const Process& process, grouping::HierarchyId hierarchy) const {
    return index_->books.place(process.book, hierarchy);
}

std::size_t ProcessTable::size() const {
    return index_->live;
}

std::size_t ProcessTable::dead() const {
    return index_->dead;
}

Books& ProcessTable::books() {
    return index_->books;
}

void ProcessTable::for_each(const std::function<void(Process&)>& visit) {
    const std::uint32_t end = shared_->rows_used;
    for (std::uint32_t row = first_row; row < end; ++row) {
        if (shared_->rows[row].pid != 0) {
            visit(shared_->rows[row]);
        }
    }
}

void ProcessTable::for_each_child(pid_t parent, const std::function<void(Process&)>& visit) {
    std::uint32_t row = index_->links[parent_row(parent)].first_child;
    while (row != 0) {
        const std::uint32_t next = index_->links[row].next_sibling;
        if (shared_->rows[row].parent == parent) {
            visit(shared_->rows[row]);
        }
        row = next;
    }
}

bool ProcessTable::reaches(Reach reach, std::uint32_t book, const grouping::Group& group) const {
    switch (reach) {
        case Reach::group:
            return index_->books.place(book, group.hierarchy) == group.id;
        case Reach::below:
            return index_->books.is_within(book, group.id, group.hierarchy.value);
        case Reach::counted:
            return index_->books.counts_in(book, group);
    }
    __builtin_unreachable();
}

// Rows are gathered before any is visited: a visit may move a process into a book that comes later.
void ProcessTable::visit_members(grouping::GroupId group, Reach reach, Condition condition,
                                 const std::function<void(Process&)>& visit) {
    const auto* known = forest_.group(group);
    if (known == nullptr) {
        return;
    }
    std::vector<std::pair<std::uint32_t, pid_t>> found;
    for (std::uint32_t book = 0; book < index_->book_members.size(); ++book) {
        if (index_->book_members[book] == 0) {
            continue;
        }
        if (!reaches(reach, book, *known)) {
            continue;
        }
        for (std::uint32_t row = index_->book_members[book]; row != 0;
             row = index_->links[row].next_of_book) {
            if (shared_->rows[row].has(process_dead) == (condition == Condition::dead)) {
                found.emplace_back(row, shared_->rows[row].pid);
            }
        }
    }
    for (const auto& [row, pid] : found) {
        Process& process = shared_->rows[row];
        if (process.pid == pid && process.has(process_dead) == (condition == Condition::dead)) {
            visit(process);
        }
    }
}

void ProcessTable::for_each_member(grouping::GroupId group, const std::function<void(Process&)>& visit) {
    visit_members(group, Reach::group, Condition::alive, visit);
}

void ProcessTable::for_each_member_below(grouping::GroupId group,
                                         const std::function<void(Process&)>& visit) {
    visit_members(group, Reach::below, Condition::alive, visit);
}

void ProcessTable::for_each_counted(grouping::GroupId group, const std::function<void(Process&)>& visit) {
    visit_members(group, Reach::counted, Condition::alive, visit);
}

void ProcessTable::for_each_dead_counted(grouping::GroupId group,
                                         const std::function<void(Process&)>& visit) {
    visit_members(group, Reach::counted, Condition::dead, visit);
}

}  // namespace gpcsup::processes
