#pragma once
// Stops every process of a group by SIGSTOP: rounds until two looks in a row find nobody new. Whoever has the
// signal pending can neither fork nor run, so those that a round missed are the last child of each. Nothing
// here waits: the loop calls step() when `again` has passed, until all of them stand still or time is up.
//
// What we stopped is marked in the process's row, before the signal is sent: a successor of gpcsupd finds it
// and does it again, which changes nothing. Who stood still before (a shell's job control) is marked, too,
// and is not continued.

#include <chrono>
#include <set>
#include <string>
#include <vector>

#include "processes/process_table.h"
#include "processes/tracker.h"
#include "sys/clocks.h"
#include "sys/pidfd.h"

namespace gpcsup::processes {

struct Survivor {  // who did not do what was asked, and why
    base::ProcessId process;
    std::string reason;
};

// What freezing and killing work with.
struct SignalTools {
    ProcessTable& table;
    sys::ProcFiles& files;
    sys::Signals& signals;
    sys::Clocks& clocks;
    Tracker& tracker;  // drained, so observers are called from it
};

// Stops one process and marks it. EPERM and the like: it is not marked.
base::Result<> freeze_process(Process& process, sys::ProcFiles& files, sys::Signals& signals);
// Continues it if it was we who stopped it, and takes the marks away.
void thaw_process(Process& process, sys::Signals& signals);

// The members of a group and below that are somebody's processes: those without any of the flags, and not
// our own programs.
std::vector<base::ProcessId> members_below(ProcessTable& table, grouping::GroupId group,
                                           std::uint32_t without_flags, const std::set<pid_t>& spared);

class GroupFreeze {
  public:
    enum class Phase : std::uint8_t { freezing, done, given_up };
    struct Status {
        Phase phase = Phase::freezing;
        std::chrono::nanoseconds again{};  // call step() after this long at the latest; 0 when it is over
        [[nodiscard]] bool over() const { return phase != Phase::freezing; }
    };

    // The caller itself is never stopped. `without_flags`: nor are processes that have one of them.
    GroupFreeze(const SignalTools& tools, grouping::GroupId group, std::chrono::nanoseconds patience,
                std::uint32_t without_flags = process_unfreezable, std::set<pid_t> spared = {});

    Status step();
    // Only the rounds: everybody has the signal, not everybody need have come to a stop yet.
    void stop_all();
    [[nodiscard]] grouping::GroupId group() const { return group_; }
    [[nodiscard]] std::size_t stopped() const { return stopped_; }  // members that stand still
    [[nodiscard]] const std::vector<Survivor>& survivors() const { return survivors_; }  // when given up

  private:
    std::size_t stop_new();
    void look();
    [[nodiscard]] bool stands_still(const Process& process, char state);

    SignalTools tools_;
    grouping::GroupId group_;
    std::chrono::nanoseconds deadline_;
    std::uint32_t without_flags_;
    std::set<pid_t> spared_;
    Phase phase_ = Phase::freezing;
    std::set<base::ProcessId> asked_;
    std::size_t stopped_ = 0;
    std::vector<Survivor> survivors_;
};

}  // namespace gpcsup::processes
