#pragma once
// The hierarchies, their trees of groups, and the interned memberships. Pure: no system call, no controller named (a
// controller is a word bound to at most one hierarchy). Who is a member is known to room processes; the forest only counts
// references: a membership is referenced by each of its processes, a group is *held* by children, memberships and holders.

#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/result.h"
#include "grouping/ids.h"

namespace gpcsup::grouping {

struct Group {
    GroupId id;
    GroupId parent;  // none at the root
    HierarchyId hierarchy;
    std::string name;  // last component; empty at the root
    std::vector<GroupId> children;
    std::uint32_t processes = 0;  // live processes whose membership names this very group
    std::uint32_t populated = 0;  // live processes here and below
    bool dying = false;           // removed, but a controller still holds a reference
    bool auto_remove = false;     // goes when it becomes empty (a unit's own group under its place)
    std::map<std::string, std::string> holders;  // controller → why, while it holds a reference
};

struct Hierarchy {
    HierarchyId id;
    std::string name;
    std::vector<std::string> controllers;
    GroupId root;
};

class Forest {
  public:
    Forest();  // with the built-in hierarchy `unit`

    // Hierarchies. Names: letters, digits, '.', '_', '-'. Same name with the same set is success (the existing one). EBUSY
    // names the hierarchy that has a controller already; ENOSPC at max_hierarchies.
    base::Result<HierarchyId> create_hierarchy(std::string_view name, std::span<const std::string> controllers);
    base::Result<> remove_hierarchy(HierarchyId id);  // EBUSY when groups other than the root exist
    [[nodiscard]] const Hierarchy* hierarchy(HierarchyId id) const;
    [[nodiscard]] const Hierarchy* find_hierarchy(std::string_view name_or_controller) const;
    [[nodiscard]] std::vector<const Hierarchy*> hierarchies() const;  // in slot order

    // Groups. `restore_*` put back what the journal recorded, with its numbers.
    base::Result<GroupId> create_group(GroupId parent, std::string_view name);
    base::Result<GroupId> create_path(HierarchyId hierarchy, std::string_view path);  // and the parents missing
    base::Result<> remove_group(GroupId id);  // EBUSY naming children, processes or holders; see busy_reason
    base::Result<> rename_group(GroupId id, std::string_view name);
    base::Result<> restore_hierarchy(const Hierarchy& recorded);
    base::Result<> restore_group(GroupId id, GroupId parent, std::string_view name);
    [[nodiscard]] const Group* group(GroupId id) const;
    [[nodiscard]] Group* group(GroupId id);
    [[nodiscard]] std::optional<GroupId> child(GroupId parent, std::string_view name) const;
    // "HIERARCHY:/a/b" or "CONTROLLER:/a/b". ENOENT names the first part that is missing, with "did you mean".
    base::Result<GroupId> resolve(std::string_view text) const;
    [[nodiscard]] std::string path(GroupId id) const;       // "/a/b"
    [[nodiscard]] std::string full_path(GroupId id) const;  // "HIERARCHY:/a/b"
    [[nodiscard]] bool is_within(GroupId id, GroupId ancestor) const;
    void for_each_below(GroupId top, const std::function<void(const Group&)>& visit) const;  // top first, parents before children

    // Memberships: one row for each distinct combination of groups. Missing places are filled with the roots.
    MembershipId intern(Places places);
    [[nodiscard]] const Places& places(MembershipId id) const;
    [[nodiscard]] GroupId place(MembershipId id, HierarchyId hierarchy) const { return places(id)[hierarchy.value]; }
    void acquire(MembershipId id);  // one more live process: counts `processes` and `populated` up the chains
    void release(MembershipId id);  // one less; the groups that became empty are queued
    void for_each_membership_in(GroupId top, const std::function<void(MembershipId)>& visit) const;  // top and below
    [[nodiscard]] std::vector<GroupId> take_emptied();  // groups whose `populated` fell to 0 since the last call (still existing)

  private:
    struct Row {
        Places places{};
        std::uint32_t references = 0;
    };
    std::array<std::optional<Hierarchy>, max_hierarchies> hierarchies_;
    std::unordered_map<GroupId, Group> groups_;
    std::vector<Row> rows_;
    std::vector<MembershipId> free_rows_;
    std::map<Places, MembershipId> by_places_;
    std::vector<GroupId> emptied_;
    std::uint32_t next_group_ = 1;
};

}  // namespace gpcsup::grouping
