// Memberships: the interned combinations of groups, and the counts that follow from them.

#include <algorithm>
#include <cassert>
#include <unordered_set>

#include "grouping/forest.h"

namespace gpcsup::grouping {

namespace {
constexpr std::size_t most_unclaimed = 1024;
}  // namespace

MembershipId Forest::intern(Places places) {
    for (unsigned slot = 0; slot < max_hierarchies; ++slot) {
        const Group* asked = group(places[slot]);
        const bool usable = asked != nullptr && !asked->dying && asked->hierarchy.value == slot;
        if (!usable) {
            places[slot] = hierarchies_[slot] ? hierarchies_[slot]->root : GroupId{};
        }
    }
    const auto [found, is_new] = by_places_.try_emplace(places);
    if (is_new) {
        if (free_rows_.empty()) {
            found->second = MembershipId{static_cast<std::uint32_t>(rows_.size())};
            rows_.emplace_back();
        } else {
            found->second = free_rows_.front();
            free_rows_.pop_front();
        }
        Row& row = rows_[found->second.value];
        row = Row{.places = places, .generation = row.generation + 1, .used = true};
    }
    const MembershipId id = found->second;
    if (rows_[id.value].references == 0) {
        remember_claim(id);
    }
    return id;
}

// A row that was interned and never acquired must not stay for ever: only the youngest 1,024 claims count.
void Forest::remember_claim(MembershipId id) {
    ++rows_[id.value].claims;
    unclaimed_.push_back({id, rows_[id.value].generation});
    if (unclaimed_.size() <= most_unclaimed) {
        return;
    }
    const Claim oldest = unclaimed_.front();
    unclaimed_.pop_front();
    Row& row = rows_[oldest.id.value];
    if (row.used && row.generation == oldest.generation && row.claims > 0) {
        --row.claims;
        free_row(oldest.id);
    }
}

void Forest::free_row(MembershipId id) {
    Row& row = rows_[id.value];
    if (id.value == 0 || !row.used || !row.idle()) {
        return;
    }
    const auto known = by_places_.find(row.places);
    if (known != by_places_.end() && known->second == id) {
        by_places_.erase(known);
    }
    row.used = false;  // its places stay readable until the row is used again
    free_rows_.push_back(id);
}

void Forest::forget_idle_rows(GroupId removed) {
    const auto slot = groups_.at(removed).hierarchy.value;
    for (std::uint32_t index = 1; index < rows_.size(); ++index) {
        Row& row = rows_[index];
        if (row.used && row.places[slot] == removed && row.references == 0) {
            row.claims = 0;
            free_row(MembershipId{index});
        }
    }
}

const Places& Forest::places(MembershipId id) const {
    assert(id.value < rows_.size());
    return rows_[id.value].places;
}

void Forest::count(const Row& row, int change) {
    for (const GroupId place : row.places) {
        count_member(place, Member::process, change);
    }
}

void Forest::count_member(GroupId place, Member kind, int change) {
    Group* at = group(place);
    if (at == nullptr) {
        return;  // a slot without a hierarchy
    }
    const auto one = static_cast<std::uint32_t>(change);
    (kind == Member::process ? at->processes : at->threads) += one;
    for (; at != nullptr; at = group(at->parent)) {
        at->threads_below += kind == Member::thread ? one : 0;
        at->populated += one;
        if (at->populated == 0) {
            emptied_.push_back(at->id);
            release_candidates_.add(at->id);
        }
        if (at->populated == 0 || (change > 0 && at->populated == 1)) {
            flipped_.add(at->id);
        }
    }
}

void Forest::acquire(MembershipId id) {
    Row& row = rows_[id.value];
    assert(row.used);
    row.claims -= row.claims > 0 ? 1 : 0;
    ++row.references;
    count(row, 1);
}

void Forest::release(MembershipId id) {
    Row& row = rows_[id.value];
    assert(row.references > 0);
    --row.references;
    count(row, -1);
    free_row(id);
}

std::vector<GroupId> Forest::take_emptied() {
    std::vector<GroupId> result;
    std::unordered_set<GroupId> seen;
    for (const GroupId id : std::exchange(emptied_, {})) {
        const Group* at = group(id);
        if (at != nullptr && at->populated == 0 && seen.insert(id).second) {
            result.push_back(id);
        }
    }
    return result;
}

// A hierarchy came (its root takes every row's slot) or went (the slot is cleared). Rows cannot collide:
// before and after, the slot holds one and the same value in all of them.
void Forest::set_slot_of_rows(HierarchyId hierarchy, GroupId root) {
    by_places_.clear();
    Group* at = group(root);
    for (std::uint32_t index = 0; index < rows_.size(); ++index) {
        Row& row = rows_[index];
        row.places[hierarchy.value] = root;
        if (!row.used) {
            continue;
        }
        by_places_[row.places] = MembershipId{index};
        if (at != nullptr) {
            at->processes += row.references;
            at->populated += row.references;
        }
    }
    if (at != nullptr && at->populated > 0) {
        flipped_.add(root);
    }
}

}  // namespace gpcsup::grouping
