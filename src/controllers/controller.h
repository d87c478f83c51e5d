#pragma once
// The contract of a controller: about a hundred lines for a simple one, one pair of files in this room (or in
// tests/), found in the static registry. Names follow Paul Menage's patchset: create, destroy, can_attach,
// cancel_attach, attach, can_fork, fork, exit, bind. Writing a controller touches no other file. A controller
// never starts, stops or kills anything.

#include <array>
#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "base/cpu_list.h"
#include "controllers/attribute.h"
#include "grouping/forest.h"
#include "processes/process_table.h"
#include "processes/threads_apart.h"
#include "wire/enforcement_table.h"

namespace gpcsup::controllers {

struct Change {                  // one setting of a transaction
    std::string_view attribute;  // without the controller's name
    Value value;
};

// From one group of the controller's hierarchy to another: one process with all its threads, or, with
// `thread`, that one thread of it. A thread comes only to a controller that works thread by thread.
struct Move {
    processes::Process* process;
    grouping::GroupId from;
    grouping::GroupId to;
    std::optional<base::ThreadId> thread = std::nullopt;
};

// What a controller's figures and limits are of. In a hierarchy all of whose controllers work thread by
// thread a thread may be in another group than its process.
enum class Granularity : std::uint8_t { process, thread };

// What a process is born with: filled by the controllers of its place, put into the launch plan by room
// launch.
struct Birth {
    std::vector<std::uint64_t> affinity;  // words for sched_setaffinity; empty = leave
    int memory_mode = 0;                  // MPOL_…, with memory_nodes; 0 = leave
    std::vector<std::uint64_t> memory_nodes;
    struct Limit {
        int resource;
        std::uint64_t soft;
        std::uint64_t hard;
    };
    std::vector<Limit> limits;
    std::vector<wire::TrapClass> traps;  // calls to be trapped from the first instruction on
};

// The machine and the tables, as a controller may use them. The real one is in room supervisor, the fake one
// in tests.
class Host {
  public:
    virtual ~Host() = default;
    virtual const grouping::Forest& forest() = 0;
    // Keeps a group that is removed alive as dying until the hold is dropped: one hold for each controller
    // and group. Not recorded in the journal: after a restart the controller says it anew (recover).
    virtual void hold(grouping::GroupId group, std::string_view controller, std::string_view why) = 0;
    virtual void drop_hold(grouping::GroupId group, std::string_view controller) = 0;
    virtual processes::ProcessTable& processes() = 0;
    virtual std::chrono::nanoseconds now() = 0;  // monotonic
    // Calls once, not before `when`. One for each controller: a later wish takes the earlier one's place. A
    // machine that is idle should stay so: only while there is somebody who looks.
    virtual void call_at(std::string_view controller, std::chrono::nanoseconds when,
                         std::function<void()> call) = 0;
    virtual base::CpuList online_cpus() = 0;
    virtual base::CpuList online_nodes() = 0;
    virtual const processes::ThreadsApart& threads_apart() = 0;
    // Applies the mask to every thread of the process but these until no thread without it is found. ESRCH
    // when it is gone.
    using Threads = std::span<const base::ThreadId>;
    virtual base::Result<> set_affinity(base::ProcessId process, const base::CpuList& cpus,
                                        Threads except) = 0;
    // The same for those threads only that have a CPU outside of `cpus`, or exactly `before`: a narrower mask
    // is the thread's own wish and stays.
    virtual base::Result<> adapt_affinity(base::ProcessId process, const base::CpuList& before,
                                          const base::CpuList& cpus, Threads except) = 0;
    // The same for those threads for which `choose` has another mask than the one they have; that one it is
    // given with the CPUs that are offline.
    using ChooseMask =
        std::function<std::optional<base::CpuList>(const base::ThreadId& thread, const base::CpuList& has)>;
    virtual base::Result<> settle_affinity(base::ProcessId process, const ChooseMask& choose,
                                           Threads except) = 0;
    virtual base::Result<base::CpuList> whole_affinity(const base::ThreadId& thread) = 0;  // so, too
    // Without the CPUs that are offline; of the main thread.
    virtual base::Result<base::CpuList> affinity(base::ProcessId process) = 0;
    virtual base::Result<> set_affinity(const base::ThreadId& thread, const base::CpuList& cpus) = 0;
    virtual base::Result<base::CpuList> affinity(const base::ThreadId& thread) = 0;
    // CPU time of the group and below: closed books plus live clocks, sampled now. What groups removed below
    // it used stays in.
    struct CpuTime {
        std::uint64_t usage_ns = 0;
        std::uint64_t user_ns = 0;
        std::uint64_t system_ns = 0;
        std::uint64_t estimated_ns = 0;
    };
    virtual CpuTime cpu_time(grouping::GroupId group) = 0;
    virtual CpuTime own_cpu_time(grouping::GroupId group) = 0;  // without what is, or was, below it
    // What a controller must know of a group after a restart and is no setting: one text for each controller
    // and group, in the journal until it is forgotten or the group has gone.
    virtual void remember(grouping::GroupId group, std::string_view controller, std::string_view text) = 0;
    virtual void forget(grouping::GroupId group, std::string_view controller) = 0;
    [[nodiscard]] virtual std::optional<std::string> remembered(grouping::GroupId group,
                                                                std::string_view controller) = 0;
    // Tasks (threads) and processes that count in the group, those below it too where books are hierarchical
    // (Forest::counts_in): exact now (connector drained or members walked).
    struct TaskCount {
        std::uint64_t tasks = 0;
        std::uint64_t processes = 0;
    };
    virtual TaskCount task_count(grouping::GroupId group) = 0;
    // A limit as data for gpc-enforce, one row for each (group, kind). The row exists from the first call
    // until retire_budget, also while its limit is wire::unlimited, so that its failcnt is kept. After a
    // restart it is there until the controller has recovered: a row that nobody published again is retired.
    virtual base::Result<> publish_budget(grouping::GroupId group, wire::BudgetKind kind, std::uint64_t limit,
                                          int refuse_errno) = 0;
    // On the group's row for tasks, which is there: so many forks in such a window; wire::unlimited = any
    // number.
    virtual void set_fork_rate(grouping::GroupId group, std::uint64_t count, std::uint64_t window_ns,
                               wire::RateSpends spends) = 0;
    // On the same row: so many tasks are kept for it in the rows above, used or not; 0 = none.
    virtual void set_guarantee(grouping::GroupId group, std::uint64_t count) = 0;
    virtual std::uint64_t fork_rate_failcnt(grouping::GroupId group) = 0;  // 0 without a row
    virtual void retire_budget(grouping::GroupId group, wire::BudgetKind kind) = 0;
    virtual std::uint64_t budget_failcnt(grouping::GroupId group,
                                         wire::BudgetKind kind) = 0;  // 0 without a row
    [[nodiscard]] virtual bool has_budget(grouping::GroupId group, wire::BudgetKind kind) = 0;
    // Open file descriptions that count in the group, exact now; the same with a barrier as a limit on them.
    // Those of a process that leaves stay charged to the group it left: it is told before anybody counts
    // again.
    virtual std::uint64_t file_count(grouping::GroupId group) = 0;
    virtual base::Result<> publish_files(grouping::GroupId group, std::uint64_t barrier, std::uint64_t limit,
                                         int refuse_errno) = 0;
    struct Waters {  // the most and the least that was counted, as far as a successor must know it
        std::uint64_t most = 0;
        std::optional<std::uint64_t> least;
    };
    virtual Waters file_waters(grouping::GroupId group) = 0;  // of the group's row; nothing without one
    virtual void keep_file_waters(grouping::GroupId group, const Waters& waters) = 0;
    virtual void files_leave(const processes::Process& process, grouping::GroupId from) = 0;
    virtual void files_forked(const processes::Process& parent, const processes::Process& child) = 0;
    virtual void files_ended(const processes::Process& process) = 0;
    // What groups have open in processes that are elsewhere now; `call` is called whenever it is time to
    // look.
    virtual std::map<grouping::GroupId, std::uint64_t> files_open_elsewhere() = 0;
    virtual void on_files_look_due(std::function<void()> call) = 0;
    // Memory of the members of the group and below, looked at now, in this time at most. PSS that could not
    // be read is taken to be RSS, and that part told apart.
    struct MemoryUse {
        std::uint64_t rss = 0;  // bytes
        std::uint64_t pss = 0;
        std::uint64_t estimated = 0;  // of pss
        std::uint64_t unread = 0;     // processes that are in no sum
    };
    virtual MemoryUse memory_use(grouping::GroupId group, std::chrono::nanoseconds budget) = 0;
    // Pages of the process are moved to the nodes `to`, little by little and in the background; those of the
    // first node of `from` go to the first of `to`, and so on. Who is not through yet has
    // process_moves_pages. A newer wish replaces the older one.
    virtual void move_pages(processes::Process& process, grouping::GroupId group, const base::CpuList& from,
                            const base::CpuList& to) = 0;
    virtual void leave_pages(const processes::Process& process) = 0;  // where they are by now
    // Processes of the group that are not through yet.
    virtual std::uint64_t pages_waiting(grouping::GroupId group) = 0;
    // Limits of a process as setrlimit(2) has them; by the number of the resource.
    struct Limit {
        std::uint64_t soft = unlimited;
        std::uint64_t hard = unlimited;
        static constexpr std::uint64_t unlimited = ~std::uint64_t{0};  // RLIM_INFINITY
        bool operator==(const Limit&) const = default;
    };
    using LimitSet = std::array<Limit, 16>;
    virtual base::Result<Limit> limit(base::ProcessId process, int resource) = 0;
    // ESRCH when it is gone; EPERM: another user's, or a hard limit that only CAP_SYS_RESOURCE may raise.
    virtual base::Result<> set_limit(base::ProcessId process, int resource, const Limit& limit) = 0;
    virtual LimitSet start_limits() = 0;  // of what is started in no limited group
    // What a process had before it was limited. Kept in its row (past_limits, which a child gets from its
    // parent and 0 makes forgotten) and in the journal: a successor knows it.
    virtual void remember_limits(processes::Process& process, const LimitSet& limits) = 0;
    [[nodiscard]] virtual std::optional<LimitSet> remembered_limits(const processes::Process& process) = 0;
    // Everybody in the group and below is to stand still, whoever comes later too, until somebody thaws it:
    // as `gpcsup freeze` does it, kept in the journal by who does it. Both are idempotent and wait for
    // nobody.
    virtual void freeze(grouping::GroupId group) = 0;
    virtual void thaw(grouping::GroupId group) = 0;
    // Whether everybody whom a freeze of this group, or of one above it, concerns stands still now.
    [[nodiscard]] virtual bool stands_still(grouping::GroupId group) = 0;
    // The most that was ever counted, kept in the group's rows while it has any.
    virtual void raise_peak(grouping::GroupId group, std::uint64_t tasks) = 0;
    virtual std::uint64_t kept_peak(grouping::GroupId group) = 0;  // 0 without a row
};

class Controller {
  public:
    virtual ~Controller() = default;
    [[nodiscard]] virtual std::string_view name() const = 0;
    [[nodiscard]] virtual std::span<const Attribute> attributes() const = 0;
    [[nodiscard]] virtual Granularity granularity() const { return Granularity::process; }

    // Groups of the hierarchy it is bound to; also called for the root, with no parent. A failed create
    // undoes itself. While it is in no hierarchy (unbound) it has one group, the root of `unit`, where
    // everybody is: read, never set, and nothing is attached to it.
    virtual base::Result<> create(grouping::GroupId group, grouping::GroupId parent) = 0;
    virtual void destroy(grouping::GroupId group) = 0;
    // After a restart, once for each of its groups, dying ones too, when all of them are there again and have
    // their settings: the holds that are still needed are to be taken anew, and what a change that was cut
    // off left wrong in the machine is put right.
    virtual void recover(grouping::GroupId group) { (void)group; }

    // Attributes. `can_set` checks one value against the tree and changes nothing; `set` is called for all
    // settings of a transaction only after every can_set agreed, and may still fail in the machine (the
    // transaction is then undone with the old values). `get` gives the value a user sees now.
    virtual base::Result<> can_set(grouping::GroupId group, std::string_view attribute,
                                   const Value& value) = 0;
    // Where attributes depend on each other (a barrier below its limit), override can_change: it sees the
    // transaction whole.
    virtual base::Result<> can_change(grouping::GroupId group, std::span<const Change> changes) {
        for (const Change& change : changes) {
            if (auto agreed = can_set(group, change.attribute, change.value); !agreed) {
                return agreed;
            }
        }
        return {};
    }
    virtual base::Result<> set(grouping::GroupId group, std::string_view attribute, const Value& value) = 0;
    // After a restart: a value that was set before, unchecked. The machine has it already; to be overridden
    // where `set` does more than what is wrong with it, since nobody may notice that gpcsupd is replaced.
    virtual base::Result<> restore(grouping::GroupId group, std::string_view attribute, const Value& value) {
        return set(group, attribute, value);
    }
    // After a restart, and after recover: a predecessor was killed while it set this, which `asked` had as
    // `before`, to `tried`. To be overridden where members that have it already cannot be told, by recover,
    // from such as wished for it, and where the controller keeps it itself.
    struct CutOff {
        const Value& tried;
        std::string_view before;
    };
    virtual base::Result<> take_back(grouping::GroupId group, std::string_view attribute,
                                     const CutOff& change) {
        (void)group;
        (void)attribute;
        (void)change;
        return {};
    }
    virtual base::Result<Value> get(grouping::GroupId group, std::string_view attribute) = 0;
    // What `set` would have to be given to lead back here: to be overridden where `get` shows more than that.
    virtual base::Result<Value> asked(grouping::GroupId group, std::string_view attribute) {
        return get(group, attribute);
    }

    // Moves, as in the original: every can_attach first (a refusal cancels those that agreed), then attach.
    // Where nobody can be started, nobody can be moved to.
    virtual base::Result<> can_attach(std::span<const Move> moves) {
        for (const Move& move : moves) {
            if (auto possible = can_start(move.to); !possible) {
                return possible;
            }
        }
        return {};
    }
    // Whether a process can be started in the group.
    virtual base::Result<> can_start(grouping::GroupId group) {
        (void)group;
        return {};
    }
    virtual void cancel_attach(std::span<const Move> moves) { (void)moves; }
    virtual base::Result<> attach(std::span<const Move> moves) {
        (void)moves;
        return {};
    }

    virtual void fork(const processes::Process& parent, processes::Process& child, grouping::GroupId group) {
        (void)parent;
        (void)child;
        (void)group;
    }
    // A process of this group has another thread, while one of its threads is in another group: a thread has
    // the settings of the one that made it, which may be that one. Nothing: which one is new was not told.
    virtual void thread_started(const processes::Process& process,
                                const std::optional<base::ThreadId>& thread, grouping::GroupId group) {
        (void)process;
        (void)thread;
        (void)group;
    }
    // A member asked for CPUs for this thread, and was given those of them that its group has.
    virtual void affinity_asked(const base::ThreadId& thread, const base::CpuList& asked,
                                const base::CpuList& given) {
        (void)thread;
        (void)asked;
        (void)given;
    }
    // A process came that nobody here forked: one of our own starts, or one that was found.
    virtual void born(processes::Process& process, grouping::GroupId group) {
        (void)process;
        (void)group;
    }
    virtual void exit(const processes::Process& process, grouping::GroupId group) {
        (void)process;
        (void)group;
    }

    // What a process born in this group needs.
    virtual void birth(grouping::GroupId group, Birth& birth) {
        (void)group;
        (void)birth;
    }

    // The classes this controller enforces by trapping while a limit on the chain of `group` is finite; empty
    // = never traps.
    [[nodiscard]] virtual std::vector<wire::TrapClass> traps(grouping::GroupId group) {
        (void)group;
        return {};
    }
    [[nodiscard]] virtual std::vector<wire::TrapClass> possible_traps() const {
        return {};
    }  // for `enforce = [...]`

    // Why what the group says is not enforced for this process, whatever of its calls is trapped; for status.
    [[nodiscard]] virtual std::optional<std::string> shortfall(const processes::Process& process,
                                                               grouping::GroupId group) {
        (void)process;
        (void)group;
        return std::nullopt;
    }

    // The machine changed (CPU or node hotplug): bring what is effective up to date.
    virtual void refresh() {}

  protected:
    [[nodiscard]] std::unexpected<base::Error> unknown(std::string_view attribute) const;
};

using Factory = std::unique_ptr<Controller> (*)(Host& host);

// The static registry: a controller's file has one object of this type at namespace scope. Sorted by name
// when listed.
class Registration {
  public:
    Registration(std::string_view name, std::span<const Attribute> attributes, Factory factory);
};

struct Registered {
    std::string_view name;
    std::span<const Attribute> attributes;
    Factory factory;
};
[[nodiscard]] std::span<const Registered> registered();

[[nodiscard]] const Registered* find_controller(std::string_view name);     // null if there is none
base::Result<const Registered*> require_controller(std::string_view name);  // ENOENT with "did you mean"

// "numtasks.limit" → its row; also "group.auto_remove" (core_attributes.h). ENOENT with "did you mean".
base::Result<const Attribute*> find_attribute(std::string_view full_name);

}  // namespace gpcsup::controllers
