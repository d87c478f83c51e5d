#pragma once
// cpuset: on which CPUs a group's processes may run. What was asked is kept apart from what is in force:
//
//   asked(g)      what somebody set; empty = inherit
//   allowed(g)    asked(g), or the parent's allowed when empty: what children must keep to
//   effective(g)  asked(g) ∩ effective(parent); when that is empty (its CPUs are offline) the parent's. A
//   group that asked for
//                 nothing gets the parent's without the CPUs that a sibling holds exclusively, if any are
//                 left
//   root          the CPUs that are online; it cannot be set
//
// In a hierarchy of 2006 an empty list inherits nothing: nobody can be there.
//
// effective is what every thread of every member has. A member narrows its own by sched_setaffinity (gpcsupd
// answers with the mask intersected) and keeps that while gpcsupd is replaced. When the group's effective
// CPUs change, by a setting or because CPUs come or go (hotplug), it keeps what is left of its wish, or has
// the whole set when nothing is, and gets its wish back with the CPUs (cpu_wishes.h). A move ends the wish
// and gives the whole new set. Masks are looked at whole: a CPU that is offline is one that its thread will
// run on when it returns.
//
// It works thread by thread: a thread apart has its own group's CPUs in all this, its process's others have
// theirs. What a thread apart starts is its process's, and has that one's CPUs as soon as it is told of.

#include <chrono>
#include <map>
#include <optional>
#include <set>

#include "controllers/controller.h"
#include "controllers/cpu_wishes.h"
#include "controllers/empty_list.h"

namespace gpcsup::controllers {

class Cpuset final : public Controller {
  public:
    explicit Cpuset(Host& host) : host_(host) {}
    [[nodiscard]] std::string_view name() const override { return "cpuset"; }
    [[nodiscard]] std::span<const Attribute> attributes() const override;
    [[nodiscard]] Granularity granularity() const override { return Granularity::thread; }
    base::Result<> create(grouping::GroupId group, grouping::GroupId parent) override;
    void destroy(grouping::GroupId group) override;
    base::Result<> can_set(grouping::GroupId group, std::string_view attribute, const Value& value) override;
    base::Result<> can_change(grouping::GroupId group, std::span<const Change> changes) override;
    base::Result<> set(grouping::GroupId group, std::string_view attribute, const Value& value) override;
    base::Result<> restore(grouping::GroupId group, std::string_view attribute, const Value& value) override;
    void recover(grouping::GroupId group) override;
    base::Result<Value> get(grouping::GroupId group, std::string_view attribute) override;
    base::Result<> can_start(grouping::GroupId group) override;
    base::Result<Value> asked(grouping::GroupId group, std::string_view attribute) override;
    base::Result<> attach(std::span<const Move> moves) override;
    void fork(const processes::Process& parent, processes::Process& child, grouping::GroupId group) override;
    void thread_started(const processes::Process& process, const std::optional<base::ThreadId>& thread,
                        grouping::GroupId group) override;
    void affinity_asked(const base::ThreadId& thread, const base::CpuList& asked,
                        const base::CpuList& given) override;
    void exit(const processes::Process& process, grouping::GroupId group) override;
    void birth(grouping::GroupId group, Birth& birth) override;
    [[nodiscard]] std::vector<wire::TrapClass> traps(grouping::GroupId group) override;
    [[nodiscard]] std::vector<wire::TrapClass> possible_traps() const override;
    void refresh() override;

  private:
    struct State {
        grouping::GroupId parent;
        std::vector<grouping::GroupId> children;
        base::CpuList asked;
        base::CpuList effective;
        bool exclusive = false;
    };
    struct Wish {  // what a transaction would make of a group
        base::CpuList asked;
        bool exclusive;
    };
    State* find(grouping::GroupId group);
    [[nodiscard]] base::CpuList allowed(grouping::GroupId group) const;
    [[nodiscard]] bool restricted(grouping::GroupId group) const;
    [[nodiscard]] base::CpuList taken_below(const State& parent) const;  // by exclusive children
    static base::CpuList effective_of(const State& state, const State& parent, const base::CpuList& taken);
    base::Result<> check_parent(grouping::GroupId group, const State& state, const Wish& wish) const;
    base::Result<> check_children(grouping::GroupId group, const base::CpuList& cpus) const;
    base::Result<> check_exclusive(grouping::GroupId group, const State& state, const Wish& wish) const;
    base::Result<> assign(grouping::GroupId group, std::string_view attribute, const Value& value);
    struct Changed {
        grouping::GroupId group;
        base::CpuList before;  // effective until now
    };
    std::vector<Changed> derive();
    base::Result<> recompute(std::optional<grouping::GroupId> touched);
    base::Result<> settle_members(grouping::GroupId group, const base::CpuList& before);
    base::Result<> settle_thread(const base::ThreadId& thread, const base::CpuList& before,
                                 const base::CpuList& now);
    void widen_members(grouping::GroupId group, const base::CpuList& before);
    base::Result<> apply(const Move& move, const base::CpuList& cpus);
    using Threads = std::vector<base::ThreadId>;
    // Those of the process that are not in this group of its own.
    [[nodiscard]] Threads threads_apart(base::ProcessId process, grouping::GroupId group);
    [[nodiscard]] bool is_of_thread_apart(const base::CpuList& mask, const Threads& apart,
                                          grouping::GroupId group);
    [[nodiscard]] std::vector<base::ProcessId> members(grouping::GroupId group);
    [[nodiscard]] std::string path(grouping::GroupId group) const;

    void forget_old_moves();
    [[nodiscard]] bool moved_lately(const processes::Process& process);

    static constexpr std::chrono::milliseconds overtaken_for{500};  // longer than a fork and its telling take

    Host& host_;
    grouping::GroupId root_;
    EmptyList empty_ = EmptyList::inherits;
    std::map<grouping::GroupId, State> states_;
    CpuWishes wishes_;
    std::set<base::ProcessId> moved_;  // of this interval, and of the one before
    std::set<base::ProcessId> moved_before_;
    std::chrono::nanoseconds rotated_{};
};

}  // namespace gpcsup::controllers
