#pragma once
// The exact count behind a budget that says full: members, told by the process table, plus the forks that
// gpc-enforce let go on and whose child may not be visible yet. Order is everything
// (docs/synchronization.md): `issued` is read first, the flights are settled next, the members are counted
// last. It asks and publishes; it decides nothing.

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <vector>

#include "launch/enforcement_table.h"

namespace gpcsup::launch {

// What a thread whose fork was let go on is doing now.
enum class ThreadState {
    in_call,    // still in that call: its child may or may not be there
    running,    // in the kernel or not, nobody can say
    elsewhere,  // out of the call: its child, if it got one, is visible
    gone,
};

// How threads are looked at: /proc in life, a script in tests.
class ThreadProbe {
  public:
    virtual ~ThreadProbe() = default;
    // `call` as in wire::Flight::call. `continued_ns`: when it was let go on.
    virtual ThreadState look(pid_t tid, std::uint32_t call, std::uint64_t continued_ns) = 0;
};

class SystemThreadProbe final : public ThreadProbe {
  public:
    ThreadState look(pid_t tid, std::uint32_t call, std::uint64_t continued_ns) override;
};

class Recounter {
  public:
    // The number of tasks (BudgetKind::tasks: threads, a zombie is one until it is reaped) or processes of
    // the group and of all groups below, right now: whatever existed before the call and still exists must be
    // in it. Supplied by the integrator from the process table, after the connector has been drained or the
    // members walked.
    using CountGroup = std::function<std::uint64_t(GroupKey group, wire::BudgetKind kind)>;

    // The same for tasks, of the group and each below it apart, in one look.
    using CountByGroup = std::function<std::map<GroupKey, std::uint64_t>(GroupKey top)>;

    Recounter(EnforcementClient& client, ThreadProbe& probe, CountGroup count_group,
              CountByGroup count_by_group)
        : client_(client),
          probe_(probe),
          count_group_(std::move(count_group)),
          count_by_group_(std::move(count_by_group)) {}

    // Call when supervisor_wakeup is readable (after draining the connector): counts every budget on which a
    // request waits, publishes, and wakes gpc-enforce. Cheap when nothing is wanted.
    void run();

    // A fork event of the connector: `parent_tid` is the event's parent_pid, the time is the event's own.
    void note_fork(pid_t parent_tid, std::uint64_t kernel_ns);

  private:
    struct Open {  // a flight that may still become a child, or files
        std::uint32_t row;
        std::uint32_t process_row;
        std::uint32_t file_row;
        std::uint32_t files;
    };
    [[nodiscard]] std::vector<Open> settle_flights();
    [[nodiscard]] bool leads_to(std::uint32_t from, BudgetRow row) const;
    // Where something below it has a guarantee: all its rows, the row itself first, each with those that it
    // was asked for before anything was counted. Empty: its count is that of its members.
    using Family = std::map<std::uint32_t, std::uint32_t>;  // row → issued
    [[nodiscard]] Family family_of(BudgetRow top) const;
    void count_family(BudgetRow top, const Family& family, std::uint64_t began,
                      const std::vector<Open>& flights);
    [[nodiscard]] std::optional<std::uint32_t> row_within(std::uint32_t row, const Family& family) const;
    void count_and_publish(BudgetRow row, std::uint32_t issued, std::uint64_t began,
                           const std::vector<Open>& flights);

    EnforcementClient& client_;
    ThreadProbe& probe_;
    CountGroup count_group_;
    CountByGroup count_by_group_;
};

}  // namespace gpcsup::launch
