#include "processes/books.h"

#include <algorithm>
#include <cassert>

namespace gpcsup::processes {
namespace {

using grouping::GroupId;

// In a place of a book: what groups used that were below this one and are gone. It is no process's place. Not
// in `unit`, where groups go all the time and nobody asks for what one alone has used.
constexpr std::uint32_t gone_below = 1u << 31;

GroupId without_mark(GroupId place) {
    return GroupId{place.value & ~gone_below};
}

CpuTime time_of(const Book& book) {
    return {.usage_ns = book.usage_ns,
            .user_ns = book.usage_ns - book.system_ns,
            .system_ns = book.system_ns,
            .estimated_ns = book.estimated_ns};
}

}  // namespace

CpuTime& CpuTime::operator+=(const CpuTime& other) {
    usage_ns += other.usage_ns;
    user_ns += other.user_ns;
    system_ns += other.system_ns;
    estimated_ns += other.estimated_ns;
    return *this;
}

Books::Books(grouping::Forest& forest, SharedTable& shared) : forest_(forest), shared_(shared) {
    if (shared_.books_used == 0) {
        shared_.books[0] = Book{.places = sanitised({}), .used = 1};
        shared_.books_used = 1;
    }
    references_.resize(shared_.books_used);
    references_[0] = 1;  // the book of the roots stays
    for (std::uint32_t book = 0; book < shared_.books_used; ++book) {
        if (shared_.books[book].used == 0) {
            free_.push_back(book);
            continue;
        }
        shared_.books[book].places = sanitised(shared_.books[book].places);
        index(book);
    }
}

// Groups that are not there (any more) stand for the root of their hierarchy, as in Forest::intern. What such
// a mark was of is below the root, too.
grouping::Places Books::sanitised(const grouping::Places& places) const {
    grouping::Places clean{};
    for (unsigned slot = 0; slot < grouping::max_hierarchies; ++slot) {
        const auto* hierarchy = forest_.hierarchy(grouping::HierarchyId{slot});
        if (hierarchy == nullptr) {
            continue;
        }
        const auto* group = forest_.group(without_mark(places[slot]));
        const GroupId place =
            group != nullptr && group->hierarchy.value == slot ? group->id : hierarchy->root;
        clean[slot] = GroupId{place.value | (places[slot].value & gone_below)};
    }
    return clean;
}

void Books::index(std::uint32_t book) {
    by_places_.try_emplace(shared_.books[book].places, book);
}

std::uint32_t Books::open(const grouping::Places& places) {
    const grouping::Places clean = sanitised(places);
    if (const auto known = by_places_.find(clean); known != by_places_.end()) {
        return known->second;
    }
    std::uint32_t book = 0;
    if (!free_.empty()) {
        book = free_.back();
        free_.pop_back();
    } else if (shared_.books_used < book_count) {
        book = shared_.books_used;
        references_.push_back(0);
    } else {
        return 0;
    }
    Transaction transaction(shared_);
    for (unsigned slot = 0; slot < grouping::max_hierarchies; ++slot) {
        transaction.set(shared_.books[book].places[slot].value, clean[slot].value);
    }
    transaction.set(shared_.books[book].used, 1);
    if (book == shared_.books_used) {
        transaction.set(shared_.books_used, book + 1);
    }
    transaction.commit();
    index(book);
    return book;
}

grouping::Places Books::places(std::uint32_t book) const {
    assert(book < shared_.books_used);
    grouping::Places places = shared_.books[book].places;
    std::ranges::transform(places, places.begin(), without_mark);
    return places;
}

GroupId Books::place(std::uint32_t book, grouping::HierarchyId hierarchy) const {
    const GroupId place = without_mark(shared_.books[book].places[hierarchy.value]);
    if (forest_.group(place) != nullptr) {
        return place;
    }
    const auto* known = forest_.hierarchy(hierarchy);
    return known != nullptr ? known->root : GroupId{};
}

bool Books::is_within(std::uint32_t book, GroupId group, unsigned slot) const {
    return forest_.is_within(place(book, grouping::HierarchyId{slot}), group);
}

bool Books::is_own(std::uint32_t book, const grouping::Group& group) const {
    return shared_.books[book].places[group.hierarchy.value] == group.id;
}

bool Books::counts_in(std::uint32_t book, const grouping::Group& group) const {
    const bool flat = forest_.compat_of(group.id) == grouping::Compat::year_2006;
    return flat ? is_own(book, group) : is_within(book, group.id, group.hierarchy.value);
}

bool Books::has(GroupId group) const {
    return std::any_of(shared_.books, shared_.books + shared_.books_used, [group](const Book& book) {
        return book.used != 0 && std::ranges::find(book.places, group) != std::end(book.places);
    });
}

void Books::acquire(std::uint32_t book) {
    ++references_[book];
}

void Books::release(std::uint32_t book) {
    assert(references_[book] > 0);
    if (--references_[book] == 0) {
        merge_if_double(book);
    }
}

void Books::charge(Transaction& transaction, std::uint32_t book, std::uint64_t usage, std::uint64_t system) {
    assert(system <= usage);
    if (usage > 0) {
        transaction.add(shared_.books[book].usage_ns, usage);
    }
    if (system > 0) {
        transaction.add(shared_.books[book].system_ns, system);
    }
}

void Books::charge_estimated(Transaction& transaction, std::uint32_t book, std::uint64_t estimated) {
    transaction.add(shared_.books[book].estimated_ns, estimated);
}

CpuTime Books::usage(GroupId group) const {
    CpuTime sum;
    const auto* known = forest_.group(group);
    if (known == nullptr) {
        return sum;
    }
    for (std::uint32_t book = 0; book < shared_.books_used; ++book) {
        if (shared_.books[book].used != 0 && is_within(book, group, known->hierarchy.value)) {
            sum += time_of(shared_.books[book]);
        }
    }
    return sum;
}

CpuTime Books::own_usage(GroupId group) const {
    CpuTime sum;
    const auto* known = forest_.group(group);
    for (std::uint32_t book = 0; known != nullptr && book < shared_.books_used; ++book) {
        if (shared_.books[book].used != 0 && is_own(book, *known)) {
            sum += time_of(shared_.books[book]);
        }
    }
    return sum;
}

CpuTime Books::total() const {
    CpuTime sum;
    for (std::uint32_t book = 0; book < shared_.books_used; ++book) {
        if (shared_.books[book].used != 0) {
            sum += time_of(shared_.books[book]);
        }
    }
    return sum;
}

std::unordered_map<GroupId, CpuTime> Books::usage_of_all(grouping::HierarchyId hierarchy) const {
    std::unordered_map<GroupId, CpuTime> all;
    for (std::uint32_t book = 0; book < shared_.books_used; ++book) {
        if (shared_.books[book].used == 0) {
            continue;
        }
        const auto* group = forest_.group(place(book, hierarchy));
        for (; group != nullptr; group = forest_.group(group->parent)) {
            all[group->id] += time_of(shared_.books[book]);
        }
    }
    return all;
}

void Books::replace_place(std::uint32_t book, unsigned slot, GroupId by) {
    const auto known = by_places_.find(shared_.books[book].places);
    if (known != by_places_.end() && known->second == book) {
        by_places_.erase(known);
    }
    shared_.books[book].places[slot] = by;
    index(book);
    if (references_[book] == 0) {
        merge_if_double(book);
    }
}

void Books::forget_group(GroupId group, GroupId parent) {
    for (std::uint32_t book = 0; book < shared_.books_used; ++book) {
        for (unsigned slot = 0; shared_.books[book].used != 0 && slot < grouping::max_hierarchies; ++slot) {
            if (without_mark(shared_.books[book].places[slot]) == group) {
                replace_place(book, slot, slot == 0 ? parent : GroupId{parent.value | gone_below});
            }
        }
    }
}

void Books::forget_hierarchy(grouping::HierarchyId hierarchy) {
    for (std::uint32_t book = 0; book < shared_.books_used; ++book) {
        if (shared_.books[book].used != 0 && shared_.books[book].places[hierarchy.value].value != 0) {
            replace_place(book, hierarchy.value, GroupId{});
        }
    }
}

void Books::learn_hierarchy(grouping::HierarchyId hierarchy) {
    const auto* known = forest_.hierarchy(hierarchy);
    for (std::uint32_t book = 0; known != nullptr && book < shared_.books_used; ++book) {
        if (shared_.books[book].used != 0 && shared_.books[book].places[hierarchy.value].value == 0) {
            replace_place(book, hierarchy.value, known->root);
        }
    }
}

void Books::merge_doubles() {
    for (std::uint32_t book = 0; book < shared_.books_used; ++book) {
        if (shared_.books[book].used != 0 && references_[book] == 0) {
            merge_if_double(book);
        }
    }
}

// Moves the time of a book that nobody refers to into the one that has the same groups, and frees it.
void Books::merge_if_double(std::uint32_t book) {
    const auto known = by_places_.find(shared_.books[book].places);
    if (known == by_places_.end() || known->second == book) {
        return;
    }
    Book& from = shared_.books[book];
    Book& into = shared_.books[known->second];
    Transaction transaction(shared_);
    transaction.add(into.usage_ns, from.usage_ns);
    transaction.add(into.system_ns, from.system_ns);
    transaction.add(into.estimated_ns, from.estimated_ns);
    transaction.set(from.usage_ns, 0);
    transaction.set(from.system_ns, 0);
    transaction.set(from.estimated_ns, 0);
    transaction.set(from.used, 0);
    transaction.commit();
    free_.push_back(book);
}

}  // namespace gpcsup::processes
