#pragma once
// The controllers that exist, bound to hierarchies: every change of the forest that a controller has a part
// in goes through here. It keeps forest and controllers in step (a failure in one is undone in the other),
// makes transactions out of single settings, and routes forks, exits, births and moves by membership. It
// knows no controller by name, makes no JSON, writes no journal, and opens no process.

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "controllers/controller.h"
#include "grouping/placement.h"

namespace gpcsup::controllers {

struct SettingText {    // as typed, in TOML or on the command line
    std::string name;   // "numtasks.limit"
    std::string value;  // "max"
};

struct NamedValue {
    std::string name;
    Value value;
};

struct Requirement {  // what a controller must see of a process in some place for its limits to hold there
    std::string_view controller;
    std::vector<wire::TrapClass> classes;
};

struct RemovedGroup {
    grouping::GroupId id;   // nothing is known by it any more
    std::string full_path;  // as it was
    bool dying = false;     // it was removed before: its last holder has let it go
};

class ControllerSet final : public grouping::Participant {
  public:
    // One of each registered controller. While no hierarchy has it, it is unbound: it accounts everything in
    // one place, the root of `unit`.
    ControllerSet(grouping::Forest& forest, Host& host);
    ~ControllerSet() override;

    // Hierarchies. Unknown controllers are ENOENT with "did you mean".
    base::Result<grouping::HierarchyId> create_hierarchy(std::string_view name,
                                                         std::span<const std::string> controllers,
                                                         grouping::Compat compat = grouping::Compat::none);
    base::Result<> remove_hierarchy(grouping::HierarchyId id);
    // Other controllers for a hierarchy that has its root only (EBUSY otherwise). What leaves forgets its
    // settings.
    base::Result<> rebind(grouping::HierarchyId id, std::span<const std::string> controllers);
    [[nodiscard]] std::vector<std::string_view> unbound() const;
    // Whether this controller's attributes are the group's to set.
    [[nodiscard]] bool is_bound(std::string_view controller, grouping::GroupId group) const;
    // "CONTROLLER:/" of an unbound controller: its name; nothing for every other address.
    [[nodiscard]] std::optional<std::string_view> unbound_account(std::string_view address) const;

    // Groups. Paths and the rest are asked of the forest itself.
    base::Result<grouping::GroupId> create_group(grouping::GroupId parent, std::string_view name);
    base::Result<grouping::GroupId> create_path(grouping::HierarchyId hierarchy, std::string_view path);
    base::Result<> remove_group(grouping::GroupId id);
    // Called of every group whose removal is sure, before anything of it is gone. From then on its CPU time
    // becomes its parent's and its counts go: who is cut off in it must go on with it.
    void on_removing(std::function<void(grouping::GroupId)> call) { removing_ = std::move(call); }
    // The group and all below it, the lowest first; nothing when one of them has a process (EBUSY).
    base::Result<std::vector<RemovedGroup>> remove_tree(grouping::GroupId top);
    // Removes every auto_remove group that is empty now, upwards as far as that makes parents empty ones of
    // the same kind. Returns the groups that became empty since the last call and still exist, for who waits
    // for them; and with the removed ones those dying groups that have gone.
    struct Emptied {
        std::vector<grouping::GroupId> emptied;
        std::vector<RemovedGroup> removed;
    };
    // `told`: groups of which somebody has taken the news (Forest::take_emptied) already.
    [[nodiscard]] Emptied collect_empty(std::span<const grouping::GroupId> told = {});

    // After a restart: the forest has been restored from the journal; makes the controllers' state for all of
    // it.
    base::Result<> adopt();
    // Puts back a setting that was accepted once: no check against the tree, since the machine may have
    // changed meanwhile. An error is worth a line in the log and no more: the setting counts as made, and
    // what can be in force is.
    base::Result<> restore_setting(grouping::GroupId group, const SettingText& setting);
    // After recover(): a predecessor was killed while it set these. `before` is what `standing` gave it.
    base::Result<> take_back(grouping::GroupId group, std::span<const SettingText> tried,
                             std::span<const SettingText> before);
    void recover();  // after the settings: the controllers take their holds anew, unheld dying groups go

    // Attributes. `set` is one transaction: all parsed and checked, then all set, or none.
    base::Result<> set(grouping::GroupId group, std::span<const SettingText> settings);
    base::Result<> check(grouping::GroupId group,
                         std::span<const SettingText> settings);  // the first half of set
    // And the first half of that: a slip of whoever wrote them (no such attribute here, no such value),
    // before any controller is asked.
    base::Result<> parse(grouping::GroupId group, std::span<const SettingText> settings);
    // What these settings are now, for take_back; what cannot be asked is left out.
    [[nodiscard]] std::vector<SettingText> standing(grouping::GroupId group,
                                                    std::span<const SettingText> settings) const;
    [[nodiscard]] base::Result<Value> get(grouping::GroupId group, std::string_view full_name) const;
    [[nodiscard]] std::vector<NamedValue> get_all(
        grouping::GroupId group) const;  // the bound controllers', then group.*
    [[nodiscard]] std::vector<NamedValue> get_unbound(std::string_view controller) const;
    // What was set and is not the default, sorted by name: for the journal and `tree`.
    [[nodiscard]] std::vector<SettingText> settings_of(grouping::GroupId group) const;
    // Everything that can be set and is not the default, whether it was set or came with the group's making.
    [[nodiscard]] std::vector<SettingText> all_settings_of(grouping::GroupId group) const;

    // Routed by membership, which the process table knows of live and dead.
    void forked(const processes::Process& parent, processes::Process& child);
    void born(processes::Process& process);  // without a parent among ours
    void thread_started(const processes::Process& process, const std::optional<base::ThreadId>& thread);
    void affinity_asked(const base::ThreadId& thread, const base::CpuList& asked, const base::CpuList& given);
    void exited(const processes::Process& process);
    base::Result<> can_start(
        const grouping::Places& places);  // whether every controller lets a process be there
    [[nodiscard]] Birth birth(const grouping::Places& places);
    // The classes of calls that must be trapped for a process of these places: the union of `required` and of
    // what the controllers named in a unit's `enforce = [...]` could ever need. ENOENT: no such controller;
    // EINVAL: it never traps.
    base::Result<std::vector<wire::TrapClass>> traps(const grouping::Places& places,
                                                     std::span<const std::string> enforce = {});
    [[nodiscard]] std::vector<Requirement> required(
        const grouping::Places& places);  // only controllers that need any
    struct Shortfall {
        std::string_view controller;
        std::string reason;
    };
    [[nodiscard]] std::vector<Shortfall> shortfalls(const processes::Process& process);
    void refresh();  // the machine changed: CPUs or nodes came or went

    // grouping::Participant. EOPNOTSUPP for a thread in a hierarchy with a controller of processes, which is
    // named.
    base::Result<> can_attach(grouping::HierarchyId hierarchy,
                              std::span<const grouping::Transfer> transfers) override;
    void cancel_attach(grouping::HierarchyId hierarchy,
                       std::span<const grouping::Transfer> transfers) override;
    base::Result<> attach(grouping::HierarchyId hierarchy,
                          std::span<const grouping::Transfer> transfers) override;

  private:
    struct Bound {
        std::string_view name;
        std::unique_ptr<Controller> controller;
        std::optional<grouping::HierarchyId> hierarchy;
        std::optional<grouping::GroupId> account;  // while it is unbound: its only group
    };
    struct Planned {   // one setting of a transaction, parsed
        Bound* bound;  // null = group.*
        std::string_view attribute;
        std::string full_name;
        Value value;
    };
    Bound* find(std::string_view name);
    const Bound* find(std::string_view name) const;
    std::vector<Bound*> bound_to(grouping::HierarchyId id);
    std::vector<const Bound*> bound_to(grouping::HierarchyId id) const;
    void bind_slots();
    void open_account(Bound& bound);
    void close_account(Bound& bound);
    [[nodiscard]] std::optional<grouping::GroupId> group_of(const Bound& bound,
                                                            const processes::Process& process) const;
    base::Result<> clone_settings(grouping::GroupId group);
    base::Result<> create_state(grouping::GroupId group);
    base::Result<> create_state(std::span<Bound* const> controllers, grouping::GroupId group);
    void destroy_state(std::span<Bound* const> controllers, grouping::GroupId group);
    void destroy_gone(std::vector<RemovedGroup>& gone);
    void take_away(grouping::GroupId id);
    base::Result<> check_names(std::string_view hierarchy, std::span<const std::string> controllers) const;
    base::Result<const Bound*> responsible(grouping::GroupId group, std::string_view full_name) const;
    base::Result<Planned> plan_one(grouping::GroupId group, const SettingText& setting);
    base::Result<std::vector<Planned>> plan(grouping::GroupId group, std::span<const SettingText> settings);
    base::Result<> can_change(grouping::GroupId group, std::span<const Planned> planned);
    [[nodiscard]] base::Result<Value> asked(grouping::GroupId group, std::string_view full_name) const;
    using Reader = base::Result<Value> (Controller::*)(grouping::GroupId, std::string_view);
    [[nodiscard]] base::Result<Value> read(grouping::GroupId group, std::string_view full_name,
                                           Reader reader) const;
    base::Result<> change(grouping::GroupId group, const Planned& planned, const Value& value);
    void remember(grouping::GroupId group, const Planned& planned);
    void queue_if_left(grouping::GroupId id);
    std::vector<Move> moves_of(std::span<const grouping::Transfer> transfers);
    base::Result<> check_threads(grouping::HierarchyId hierarchy, std::span<const Move> moves) const;

    grouping::Forest& forest_;
    Host& host_;
    std::vector<Bound> all_;  // sorted by name, never resized after construction
    std::map<grouping::GroupId, std::map<std::string, std::string>> settings_;  // group → full name → text
    struct Dying {
        grouping::HierarchyId hierarchy;
        std::string full_path;
    };
    std::map<grouping::GroupId, Dying> dying_;  // groups whose state outlives their removal
    std::function<void(grouping::GroupId)> removing_;
};

// grouping::Population over the process table. `leaving` runs before a process changes its place, when its
// CPU time must be settled with the old one, `arrived` when it has its new one; they may be empty.
class TablePopulation final : public grouping::Population {
  public:
    using Leaving = std::function<void(processes::Process&)>;
    using Arrived = std::function<void(processes::Process&)>;
    using ThreadMoved = std::function<void(const base::ThreadId&)>;
    TablePopulation(grouping::Forest& forest, processes::ProcessTable& table,
                    processes::ThreadsApart& threads, Leaving leaving, Arrived arrived = {})
        : forest_(forest),
          table_(table),
          threads_(threads),
          leaving_(std::move(leaving)),
          arrived_(std::move(arrived)) {}
    void on_thread_moved(ThreadMoved call) { thread_moved_ = std::move(call); }
    std::optional<grouping::Places> places(base::ProcessId process) override;
    void move(base::ProcessId process, const grouping::Places& places) override;
    std::optional<grouping::Places> places(const base::ThreadId& thread) override;
    void move(const base::ThreadId& thread, const grouping::Places& places) override;
    std::vector<base::ThreadId> threads_apart(base::ProcessId process) override {
        return threads_.of(process);
    }

  private:
    grouping::Forest& forest_;
    processes::ProcessTable& table_;
    processes::ThreadsApart& threads_;
    Leaving leaving_;
    Arrived arrived_;
    ThreadMoved thread_moved_;
};

}  // namespace gpcsup::controllers
