#pragma once
// The hierarchies, their trees of groups, and the interned memberships. Pure: no system call, no controller
// named (a controller is a word bound to at most one hierarchy). Who is a member is known to room processes;
// the forest only counts references: a membership is referenced by each of its processes, a group is *held*
// by children, memberships and holders.

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory_resource>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include "base/lasting_memory.h"
#include "base/result.h"
#include "base/sparse.h"
#include "grouping/compat.h"
#include "grouping/ids.h"

namespace gpcsup::grouping {

struct Group {
    GroupId id;
    GroupId parent;  // none at the root
    HierarchyId hierarchy;
    std::string name;  // last component; empty at the root
    std::vector<GroupId> children;
    std::uint32_t processes = 0;      // live processes whose membership names this very group
    std::uint32_t threads = 0;        // threads apart from their processes, in this very group
    std::uint32_t populated = 0;      // live processes here and below, and those threads
    std::uint32_t threads_below = 0;  // of `populated`: the threads
    bool dying = false;               // removed, but a controller still holds a reference
    bool auto_remove = false;         // goes when it becomes empty (a unit's own group under its place)
    bool notify_on_release = false;   // a new child has its parent's
    bool clone_children = false;      // a new child has its parent's
    std::uint32_t descendants = 0;    // groups below that are not dying
    std::optional<std::uint64_t> max_depth;  // levels that may be below; none = any number
    std::optional<std::uint64_t> max_descendants;
    std::optional<std::uint32_t> owner;       // uid to whom the groups below are delegated; none = nobody
    base::Sparse<std::string> release_agent;  // of a root: the program that is told; empty = none
    bool frozen = false;                      // somebody asked for it here
    bool frozen_effective = false;            // here or above: its members are to stand still
    // Controller → why, while it holds a reference.
    base::Sparse<std::map<std::string, std::string>> holders;

    [[nodiscard]] std::uint32_t processes_below() const { return populated - threads_below; }  // and here
};

struct Hierarchy {
    HierarchyId id;
    std::string name;
    std::vector<std::string> controllers;
    GroupId root;
    Compat compat = Compat::none;
};

enum class Freezing : std::uint8_t { thawed, frozen };

class Forest {
  public:
    Forest();  // with the built-in hierarchy `unit`

    // Hierarchies. Names: letters, digits, '.', '_', '-'. Same name with the same set and compat is success
    // (the existing one). EBUSY names the hierarchy that has a controller already; ENOSPC at max_hierarchies.
    base::Result<HierarchyId> create_hierarchy(std::string_view name,
                                               std::span<const std::string> controllers,
                                               Compat compat = Compat::none);
    base::Result<> remove_hierarchy(HierarchyId id);  // EBUSY when groups other than the root exist
    // Which groups keep a hierarchy from being removed or bound anew, dying ones with their holders, as a
    // sentence's end; empty = there is only the root.
    [[nodiscard]] std::string groups_in_the_way(HierarchyId id) const;
    [[nodiscard]] const Hierarchy* hierarchy(HierarchyId id) const;
    [[nodiscard]] const Hierarchy* find_hierarchy(std::string_view name_or_controller) const;
    [[nodiscard]] std::vector<const Hierarchy*> hierarchies() const;  // in slot order

    // Groups. `restore_*` put back what the journal recorded, with its numbers. EAGAIN: deeper, or more of
    // them, than a group above allows (max_depth, max_descendants).
    base::Result<GroupId> create_group(GroupId parent, std::string_view name);
    // EBUSY names the children, processes or threads in the way. A group that a controller holds becomes
    // *dying*: its name is free again, nothing can be put into it, and it goes with its last holder. A second
    // removal is EBUSY and says who holds it.
    base::Result<> remove_group(GroupId id);
    [[nodiscard]] base::Result<> can_remove(GroupId id) const;  // what remove_group would say
    base::Result<> rename_group(GroupId id, std::string_view name);
    base::Result<> restore_hierarchy(const Hierarchy& recorded);
    base::Result<> restore_group(GroupId id, GroupId parent, std::string_view name);
    // A group that was dying. Whoever holds it says so anew (hold); then drop_unheld() lets the others go.
    base::Result<> restore_dying(GroupId id, GroupId parent, std::string_view name);
    void drop_unheld();
    // A controller's reference on a group (one for each controller), with the reason that is shown to people.
    void hold(GroupId id, std::string_view controller, std::string_view why);
    void drop_hold(GroupId id, std::string_view controller);
    [[nodiscard]] std::vector<GroupId> take_gone();  // dying groups that have gone since the last call
    // Why the group cannot be removed, as a sentence's end ("it has the children a, b; 1 process is in it:
    // 7"); empty = nothing is in the way.
    [[nodiscard]] std::string busy_reason(GroupId id) const;
    // Who can name members for busy_reason: up to `most` pids of the group and below.
    using ListMembers = std::function<std::vector<int>(GroupId id, std::size_t most)>;
    void set_member_lister(ListMembers lister) { list_members_ = std::move(lister); }
    // The same for threads apart: "4712 of process 4711".
    using ListThreads = std::function<std::vector<std::string>(GroupId id, std::size_t most)>;
    void set_thread_lister(ListThreads lister) { list_threads_ = std::move(lister); }
    [[nodiscard]] const Group* group(GroupId id) const;
    [[nodiscard]] Group* group(GroupId id);
    [[nodiscard]] std::optional<GroupId> child(GroupId parent, std::string_view name) const;
    // "HIERARCHY:/a/b" or "CONTROLLER:/a/b". ENOENT names the first part that is missing, with "did you
    // mean". EINVAL for a word that set_unbound named.
    base::Result<GroupId> resolve(std::string_view text) const;
    // Controllers that are in no hierarchy, so that whoever names one is told so.
    void set_unbound(std::vector<std::string> words) { unbound_ = std::move(words); }
    // From the root along a path ("/a/b"), as far as its groups exist.
    struct Walk {
        GroupId reached;
        std::vector<std::string_view> missing;  // the names after that, parts of the path
    };
    base::Result<Walk> walk(HierarchyId hierarchy, std::string_view path) const;
    [[nodiscard]] std::string path(GroupId id) const;       // "/a/b"
    [[nodiscard]] std::string full_path(GroupId id) const;  // "HIERARCHY:/a/b"
    [[nodiscard]] bool is_within(GroupId id, GroupId ancestor) const;
    // Books: where what is charged to a group counts as well. Its parent; none at a root, and in a hierarchy
    // of 2006, where every group has its own books only.
    [[nodiscard]] GroupId counted_above(GroupId id) const;
    [[nodiscard]] bool counts_in(GroupId charged, GroupId group) const;
    [[nodiscard]] Compat compat_of(GroupId id) const;  // its hierarchy's; none for a group that is not there
    // The top first, parents before their children.
    void for_each_below(GroupId top, const std::function<void(const Group&)>& visit) const;
    // Without those that are dying: they were removed, and their name may be another one's by now.
    void for_each_living_below(GroupId top, const std::function<void(const Group&)>& visit) const;

    [[nodiscard]] unsigned depth(GroupId id) const;               // 0 at the root
    [[nodiscard]] std::size_t group_count(HierarchyId id) const;  // the root and dying groups included
    // Rebinding. EBUSY as at creation.
    base::Result<> set_controllers(HierarchyId id, std::span<const std::string> controllers);

    // Memberships: one row for each distinct combination of groups. Missing places, and groups that are gone
    // or dying, are filled with the roots. A row lives as long as it is acquired; one that was only interned
    // is kept for at least the next 1,000 interns, or until one of its groups is removed.
    MembershipId intern(Places places);
    [[nodiscard]] const Places& places(MembershipId id) const;
    [[nodiscard]] GroupId place(MembershipId id, HierarchyId hierarchy) const {
        return places(id)[hierarchy.value];
    }
    void acquire(MembershipId id);  // one more live process: counts `processes` and `populated` up the chains
    void release(MembershipId id);  // one less; the groups that became empty are queued
    // A thread is, or no more is, in a group that its process is not in: it populates the group and is in no
    // membership.
    void add_thread(GroupId id) { count_member(id, Member::thread, 1); }
    void remove_thread(GroupId id) { count_member(id, Member::thread, -1); }
    [[nodiscard]] std::size_t membership_count() const { return by_places_.size(); }  // rows in use
    // Groups whose `populated` fell to 0 since the last call, that still exist and are still empty.
    [[nodiscard]] std::vector<GroupId> take_emptied();
    // Groups whose `populated` became more than 0, or 0, since the last call, or that were removed; each
    // once, oldest first. Some may be as they were again, or gone.
    [[nodiscard]] std::vector<GroupId> take_flipped();

    [[nodiscard]] const std::string& release_agent(HierarchyId id) const;
    // Release: a group can be removed when it has neither processes nor children nor holders. The root
    // stays.
    [[nodiscard]] bool is_releasable(GroupId id) const;
    // Groups that may have become releasable since the last call (the last process, child or holder went),
    // each once. Whether they are is for is_releasable to say.
    [[nodiscard]] std::vector<GroupId> take_release_candidates();

    // Freezing is recursive: what a group is in effect follows from it and all above. Who is stopped for it
    // is known to room processes.
    void set_frozen(GroupId id, Freezing wanted);
    // The nearest group at or above this one that was asked to be frozen.
    [[nodiscard]] std::optional<GroupId> frozen_by(GroupId id) const;
    void queue_emptied(GroupId id) { emptied_.push_back(id); }  // it was emptied before a restart

  private:
    struct Row {
        Places places{};
        std::uint32_t references = 0;
        std::uint32_t claims = 0;      // interns not yet followed by an acquire
        std::uint32_t generation = 0;  // of the row's use: older claims are not this one's
        bool used = false;
        [[nodiscard]] bool idle() const { return references == 0 && claims == 0; }
    };
    struct Claim {
        MembershipId id;
        std::uint32_t generation = 0;
    };
    struct ChildKey {
        GroupId parent;
        std::string name;
    };
    struct ChildOrder {
        using is_transparent = void;
        using View = std::pair<GroupId, std::string_view>;
        static View view(const ChildKey& key) { return {key.parent, key.name}; }
        static View view(const View& key) { return key; }
        template <class Left, class Right>
        bool operator()(const Left& left, const Right& right) const {
            return view(left) < view(right);
        }
    };
    base::Result<> check_controllers(std::span<const std::string> controllers, const Hierarchy* except) const;
    base::Result<GroupId> check_new_child(GroupId parent, std::string_view name) const;
    base::Result<> check_room(GroupId parent) const;
    enum class Living { yes, dying };
    void count_living(GroupId parent, int change);
    void open_hierarchy(Hierarchy hierarchy);
    void insert_group(GroupId id, GroupId parent, HierarchyId hierarchy, std::string_view name,
                      Living living = Living::yes);
    [[nodiscard]] std::string holders_of(const Group& group) const;
    void erase_group(GroupId id);
    void finish_dying(GroupId id);
    void set_slot_of_rows(HierarchyId hierarchy, GroupId group);
    void free_row(MembershipId id);
    void forget_idle_rows(GroupId removed);
    void remember_claim(MembershipId id);
    void count(const Row& row, int change);
    enum class Member : std::uint8_t { process, thread };
    void count_member(GroupId place, Member kind, int change);
    std::array<std::optional<Hierarchy>, max_hierarchies> hierarchies_;
    std::pmr::unordered_map<GroupId, Group> groups_{base::lasting_memory()};
    std::pmr::map<ChildKey, GroupId, ChildOrder> by_name_{base::lasting_memory()};
    std::pmr::deque<Row> rows_{base::lasting_memory()};  // a deque: places() hands out references
    std::deque<MembershipId> free_rows_;                 // the longest free is used first
    // Interned, perhaps not yet acquired.
    std::pmr::deque<Claim> unclaimed_{base::lasting_memory()};
    std::pmr::map<Places, MembershipId> by_places_{base::lasting_memory()};
    std::vector<GroupId> emptied_;
    // Groups that something happened to: each once, in the order in which it first happened.
    struct Marks {
        std::vector<GroupId> order;
        std::unordered_set<GroupId> known;
        void add(GroupId id) {
            if (known.insert(id).second) {
                order.push_back(id);
            }
        }
        std::vector<GroupId> take() {
            known.clear();
            return std::exchange(order, {});
        }
    };
    Marks flipped_;
    Marks release_candidates_;
    std::vector<GroupId> gone_;
    std::vector<std::string> unbound_;
    ListMembers list_members_;
    ListThreads list_threads_;
    std::uint32_t next_group_ = 1;
};

}  // namespace gpcsup::grouping
