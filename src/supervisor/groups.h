#pragma once
// Hierarchies, groups, their settings and placements, with the journal: whatever changes here is written
// down, and restored from what was. Names come in as text from files and the bus, already permitted.

#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "controllers/dispatcher.h"
#include "grouping/placement.h"
#include "journal/journal.h"
#include "supervisor/chronicle.h"

namespace gpcsup::supervisor {

class Groups final : public grouping::PlacementLog {
  public:
    Groups(grouping::Forest& forest, controllers::ControllerSet& controllers, Chronicle& chronicle);

    // From the journal's fold: the forest first (before the process table is adopted), then the controllers'
    // state and settings.
    void restore_forest(const journal::States& states);
    base::Result<> restore_settings(const journal::States& states);
    // Placements that were intended and not committed are taken back. After the process table is there.
    void settle_placements(const journal::States& states, grouping::Population& population);

    base::Result<grouping::HierarchyId> create_hierarchy(const std::string& name,
                                                         std::span<const std::string> controllers,
                                                         grouping::Compat compat = grouping::Compat::none);
    base::Result<> remove_hierarchy(grouping::HierarchyId id);
    base::Result<> rebind_hierarchy(grouping::HierarchyId id, std::span<const std::string> controllers);
    // `full_path` is HIERARCHY:/a/b. The missing parents are made only with `parents`. What is made belongs
    // to `creator`, or to whom its parent belongs.
    enum class Parents { must_exist, made };
    base::Result<grouping::GroupId> create(std::string_view full_path, Parents parents,
                                           std::optional<std::uint32_t> creator = std::nullopt);
    // The lowest group on the way to `full_path` that exists.
    base::Result<grouping::GroupId> nearest(std::string_view full_path) const;
    base::Result<> remove(grouping::GroupId group);
    base::Result<> remove_tree(grouping::GroupId top);  // with all below; nothing if a process is in it
    // Called after every removal, which may be what a removal of a group above waits for, and every setting,
    // by which an empty group may have to go.
    void on_change(std::function<void()> call) { changed_ = std::move(call); }
    // Called after every setting that was made.
    void on_set(std::function<void(grouping::GroupId)> call) { set_ = std::move(call); }
    base::Result<> rename(grouping::GroupId group, std::string_view name);
    base::Result<> set(grouping::GroupId group, std::span<const controllers::SettingText> settings);
    // A unit's own group below `parent`; an existing one is used.
    enum class Lifetime { until_empty, until_removed };
    base::Result<grouping::GroupId> own_group(grouping::GroupId parent, std::string_view name,
                                              Lifetime lifetime);

    // The group of this path, with what is missing made; what is made goes when it is empty. For rules.
    base::Result<grouping::GroupId> on_demand(grouping::HierarchyId hierarchy, std::string_view path);
    // Takes away a group that was made on demand and has not been used, and its parents that are such, too.
    void remove_unused(grouping::GroupId group);
    // Removes it, or, if it is busy, once it is empty.
    void remove_or_leave(grouping::GroupId group);
    // Called when a hierarchy has been created: what is known of its number was another's.
    void on_hierarchy_created(std::function<void(grouping::HierarchyId)> call) {
        hierarchy_created_ = std::move(call);
    }

    // Everybody moves or nobody does. The processes are identified, the groups at most one a hierarchy.
    grouping::PlacementOutcome attach(grouping::Population& population,
                                      const grouping::PlacementRequest& request);

    // After processes came and went: of the groups that emptied, removes those that are to go, and returns
    // those that still exist.
    std::vector<grouping::GroupId> collect_empty(std::span<const grouping::GroupId> emptied);

    // grouping::PlacementLog
    base::Result<std::uint64_t> intend(std::span<const grouping::Relocation> relocations) override;
    base::Result<> commit(std::uint64_t intent) override;
    void abandon(std::uint64_t intent) override;

  private:
    void write_hierarchy(const grouping::Hierarchy& hierarchy, std::string_view event);
    // `going`: its removal has begun, and a successor must end it.
    enum class Stage { there, going };
    void write_group(grouping::GroupId group, std::string_view event, Stage stage = Stage::there);
    void finish_removals();
    void write_settings(grouping::GroupId group, std::string_view event);
    void write_new(grouping::GroupId group, grouping::GroupId above, std::string_view event);
    void write_removed(grouping::GroupId group, const std::string& path);
    void rewrite();
    [[nodiscard]] Json event_of(const grouping::Relocation& one) const;  // its new places

    grouping::Forest& forest_;
    controllers::ControllerSet& controllers_;
    Chronicle& chronicle_;
    std::map<std::uint64_t, std::vector<grouping::Relocation>> intents_;
    std::vector<grouping::GroupId> going_;  // while restoring: those whose removal was cut off
    std::function<void()> changed_;
    std::function<void(grouping::GroupId)> set_;
    std::function<void(grouping::HierarchyId)> hierarchy_created_;
};

}  // namespace gpcsup::supervisor
