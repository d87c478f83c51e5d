#pragma once
// Freezing and thawing of groups, and keeping them so: whoever is born in, or moved into, a frozen group is
// stopped, whoever leaves it goes on, and somebody else's SIGCONT is undone when it is noticed. A process
// stands still while any of its groups, in any hierarchy, is frozen or lies below one that is.
//
// Which groups are frozen is in the journal, who is stopped for it in the process table: a successor does all
// of it again. The stopping itself is in processes/group_freeze.h.

#include <list>
#include <map>
#include <set>
#include <vector>

#include "control/handler.h"
#include "journal/journal.h"
#include "supervisor/census.h"
#include "supervisor/chronicle.h"

namespace gpcsup::supervisor {

class Freezing {
  public:
    static constexpr std::size_t most_waits = 256;
    Freezing(EventLoop& loop, Census& census, grouping::Forest& forest, Chronicle& chronicle)
        : loop_(loop), census_(census), forest_(forest), chronicle_(chronicle) {}
    base::Result<> open();
    void restore(const journal::States& states);  // when the groups are there
    void reapply();                               // when the processes are known, too
    // Called when a freeze is over, either way.
    void on_change(std::function<void()> listener) { changed_ = std::move(listener); }

    // Everybody in the group is to stand still; nothing is waited for, and before reapply() nobody is
    // touched.
    void ask(grouping::GroupId group);
    // Answered when everybody stands still, or when the patience is over: {"schema", "group", "frozen",
    // "processes", "survivors": [...]}. The root of a hierarchy cannot be frozen: EINVAL.
    void freeze(grouping::GroupId group, std::uint64_t connection, control::Reply reply);
    // {"schema", "group", "frozen" (whether one above it still is), "frozen_by" (or null), "processes"
    // (continued)}.
    base::Result<std::string> thaw(grouping::GroupId group);
    void disconnected(std::uint64_t connection);

    // Nobody in the group or below runs, those included who could not be stopped at first.
    [[nodiscard]] bool stands_still(grouping::GroupId group);

    // News of processes.
    void born(const processes::Process* parent, processes::Process& child);
    void moved(processes::Process& process);
    void seen_running(processes::Process& process);  // it did something; a frozen one cannot have
    // The unit of this group is to be stopped: its processes must be able to act on it.
    void let_go(grouping::GroupId unit_group);
    void groups_changed();  // some may be gone

  private:
    struct Waiter {
        std::uint64_t connection;
        control::Reply reply;
    };
    struct Running {
        processes::GroupFreeze freeze;
        std::vector<Waiter> waiters;
    };
    [[nodiscard]] bool is_to_stand_still(const processes::Process& process) const;
    [[nodiscard]] bool is_in(const base::ProcessId& process, grouping::GroupId frozen) const;
    [[nodiscard]] bool runs(const base::ProcessId& process) const;
    void mark(grouping::GroupId group);
    Running& start(grouping::GroupId group);
    void step();
    void finish(Running& running);
    void refuse_waiters(Running& running);
    [[nodiscard]] bool is_settled(grouping::GroupId group) const;  // no freeze of it is under way
    std::uint32_t continue_members(grouping::GroupId group);
    void stop_again(processes::Process& process);
    void check();
    void arm_check();

    EventLoop& loop_;
    Census& census_;
    grouping::Forest& forest_;
    Chronicle& chronicle_;
    std::function<void()> changed_;
    std::set<grouping::GroupId> frozen_;  // those that were asked to be
    std::list<Running> running_;
    std::map<grouping::GroupId, std::vector<base::ProcessId>>
        unreached_;  // survivors of freezes that are over
    Watch step_timer_;
    Watch check_timer_;
    std::size_t check_from_ = 0;
    enum class Stepping { no, yes } stepping_ = Stepping::no;
    enum class Processes { unknown, known } processes_ = Processes::unknown;
};

}  // namespace gpcsup::supervisor
