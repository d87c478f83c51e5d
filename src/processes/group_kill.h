#pragma once
// Ends every process of a group: freeze (group_freeze.h), kill, until empty. Frozen members can neither fork
// nor react to each other's death, so once two looks in a row find no new member, all of them are known, and
// SIGKILL follows (a pending SIGKILL, too, lets no fork through). Nothing here waits: the loop calls step()
// when `again` has passed or a member has died, until it is over.
//
// Processes are reached by pidfds checked against start times. Those that may not be signalled, or that the
// kernel does not let go (uninterruptible sleep), are reported when the deadline comes.

#include "processes/group_freeze.h"

namespace gpcsup::processes {

class GroupKill {
  public:
    enum class Phase : std::uint8_t { freezing, killing, done, given_up };
    using Survivor = processes::Survivor;
    struct Status {
        Phase phase = Phase::freezing;
        std::chrono::nanoseconds again{};  // call step() after this long at the latest; 0 when it is over
        [[nodiscard]] bool over() const { return phase == Phase::done || phase == Phase::given_up; }
    };

    // Observers are called from within step(): they must not destroy this object. `spared` are never
    // signalled, and neither is the caller itself, nor our own helper programs.
    GroupKill(const SignalTools& tools, grouping::GroupId group, std::chrono::nanoseconds patience,
              std::set<pid_t> spared = {});

    Status step();
    [[nodiscard]] grouping::GroupId group() const { return freeze_.group(); }
    [[nodiscard]] const std::vector<Survivor>& survivors() const { return survivors_; }  // when given up

  private:
    std::vector<base::ProcessId> members();
    void kill();
    void report_survivors(const std::vector<base::ProcessId>& left);

    SignalTools tools_;
    std::chrono::nanoseconds deadline_;
    std::set<pid_t> spared_;
    GroupFreeze freeze_;
    Phase phase_ = Phase::freezing;
    std::set<base::ProcessId> killed_;
    std::vector<Survivor> survivors_;
};

}  // namespace gpcsup::processes
