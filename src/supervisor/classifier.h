#pragma once
// Moves processes to where the placement rules want them, after they executed a program or changed their user
// or group. Processes that were placed explicitly, and their descendants, stay; so does whoever is where the
// same rule has put it or its parent. With sampled tracking nobody tells, and only starts are placed by rules
// (placing.h).
//
// News come in the middle of others, so a process is only noted (a flag in its row, which a successor finds)
// and looked at when the news at hand has been taken in. Without rules nothing is noted.

#include <deque>
#include <span>

#include "supervisor/census.h"
#include "supervisor/enforcer.h"
#include "supervisor/grafts.h"
#include "supervisor/placing.h"
#include "supervisor/services.h"

namespace gpcsup::supervisor {

class Classifier {
  public:
    struct Parts {
        RuleBook& rules;
        EventLoop& loop;
        Census& census;
        grouping::Forest& forest;
        Groups& groups;
        Placing& placing;
        grouping::Population& population;
        Enforcer& enforcer;
        Services& services;
        Grafts& grafts;
        Chronicle& chronicle;
        std::string exec_program;  // gpc-exec: who executes it will execute something else at once
    };
    explicit Classifier(Parts parts) : parts_(std::move(parts)) {}
    base::Result<> open();
    void resume();  // what a predecessor had noted and not looked at

    void executed(processes::Process& process) {
        if (!parts_.rules.empty()) {
            note(process, 0);
        }
    }
    void identity_changed(processes::Process& process) {
        if (!parts_.rules.empty()) {
            note(process, processes::process_new_identity);
        }
    }
    // The fork comes after the exec of the parent, whether the rules have been asked about that yet or not.
    void forked(const processes::Process& parent, processes::Process& child) {
        if (parent.has(processes::process_to_place) || parent.has(processes::process_follows)) {
            child.flags |= processes::process_follows;
        }
    }
    // Nobody follows it any more: while they are its children still, they are let go of.
    void exited(const processes::Process& process) {
        if (process.has(processes::process_to_place) || process.has(processes::process_follows)) {
            static_cast<void>(take_followers(process.pid));
        }
    }
    void lost();                                  // everybody is looked at
    void attributed(processes::Process& orphan);  // it was found to belong where it is
    void work();                                  // when news has been taken in; goes on later by itself

    // Somebody moves these processes by hand: no rule moves them from there. Before the move; the answer puts
    // back what was if the move is refused.
    struct Former {
        base::ProcessId process;
        std::vector<grouping::RuleMark> marks;
    };
    std::vector<Former> hold(std::span<const base::ProcessId> processes,
                             std::span<const grouping::GroupId> groups);
    void put_back(std::span<const Former> former);

  private:
    struct Target {
        grouping::GroupId group;
        std::size_t rule;
    };
    void note(processes::Process& process, std::uint32_t flag);
    void classify(processes::Process& process, std::span<const base::ProcessId> followers);
    [[nodiscard]] std::vector<base::ProcessId> take_followers(pid_t parent);
    std::vector<Target> targets_of(processes::Process& process, std::uint32_t flags);
    base::Result<> move(base::ProcessId id, std::span<const base::ProcessId> followers,
                        std::span<const Target> targets);
    void tell_failure(std::size_t rule, pid_t pid, const base::Error& error);

    Parts parts_;
    std::deque<base::ProcessId> noted_;  // each once, by its flag; who has gone stays until its turn
    std::map<std::size_t, std::uint64_t> failed_ns_;  // by rule: when that was last told
    Watch again_;
    enum class Working { no, yes } working_ = Working::no;
};

}  // namespace gpcsup::supervisor
