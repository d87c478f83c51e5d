#pragma once
// Processes that run without a filter where one is needed: they were moved there, or a limit was set where
// they are. gpc-graft gives them one, a few at a time, each journalled before it is begun and ended by a
// successor. What has been forked meanwhile is looked at and grafted as well. Why a process cannot be grafted
// is kept for whoever asks. How it is done, gpc-graft knows.

#include <deque>
#include <functional>
#include <map>

#include "controllers/dispatcher.h"
#include "launch/graft_process.h"
#include "supervisor/domain_rows.h"
#include "supervisor/enforcer.h"
#include "supervisor/services.h"
#include "supervisor/surroundings.h"

namespace gpcsup::supervisor {

class Grafts final : public LaterFilters {
  public:
    struct Parts {
        const Surroundings& here;
        EventLoop& loop;
        Census& census;
        Enforcer& enforcer;
        grouping::Forest& forest;
        controllers::ControllerSet& controllers;
        Chronicle& chronicle;
        launch::StartSlots& slots;
        const launch::DescriptorLane* lane;  // may be null
        int handover;
    };
    // Whether the process was filtered when it was started: then that filter is all that it can have.
    using FilteredAtStart = std::function<bool(const processes::Process& process)>;
    Grafts(const Parts& parts, FilteredAtStart filtered_at_start);
    base::Result<> open();

    // What a predecessor had begun. Before the start slots are looked at by those who own the others.
    void restore(const journal::States& states);
    void resume();  // when the processes are known

    // --- news ---
    void moved(processes::Process& process);   // after a placement
    void limits_set(grouping::GroupId group);  // after a setting of the group: who is there, or below
    void forked(const processes::Process& parent, processes::Process& child);
    void orphaned(processes::Process& process);
    void exited(const processes::Process& process);

    // LaterFilters
    [[nodiscard]] std::optional<std::string> word(const processes::Process& process,
                                                  std::string_view controller) const override;
    void place_domains() override;

  private:
    static constexpr unsigned most_attempts = 3;  // of one process, all supervisors' together
    enum class State { waiting, running, done, refused };
    struct Graft {
        base::ProcessId process;
        State state = State::waiting;
        std::uint64_t key = 0;             // of its listener; 0 = not begun
        std::uint16_t number = 0;          // in the rows of those who have its filter; 0 = none
        std::vector<std::string> trapped;  // controllers
        std::string reason;                // why not, or what is wrong with it
        unsigned attempts = 0;
        wire::GraftMode mode = wire::GraftMode::fresh;
        std::optional<launch::SlotId> slot;
        launch::GraftProcess helper;
        Watch watch;
        std::uint64_t due_ns = 0;  // when the helper has had its time, or the next attempt begins
    };
    using Found = std::map<base::ProcessId, Graft>::iterator;

    [[nodiscard]] bool is_limited(const processes::Process& process) const;
    void want(const processes::Process& process);
    void work();
    void arm();
    void begin(Graft& graft);
    base::Result<> launch(Graft& graft, std::span<const wire::TrapClass> classes,
                          const grouping::Places& places);
    void answered(base::ProcessId process);
    void take(Graft& graft, const wire::GraftAnswer& answer);
    void enforced(Graft& graft, const wire::GraftAnswer& answer);
    void refuse(Graft& graft, std::string reason);
    void try_again(Graft& graft, const std::string& why);
    void let_helper_go(Graft& graft);
    void adopt_descendants(const Graft& graft);
    void look_at_child(const Graft& graft, processes::Process& child);
    void await_death(Graft& graft);
    void end_predecessor(Graft& graft, launch::SlotId slot, pid_t pid);
    void settle_members(const Graft& graft);
    void prune();
    void write(const Graft& graft);
    void forget(Found at);
    [[nodiscard]] std::uint16_t free_number() const;
    [[nodiscard]] const Graft* find(std::uint16_t number) const;
    [[nodiscard]] const processes::Process* someone_of(const Graft& graft) const;
    [[nodiscard]] std::size_t running() const;
    enum class Filter { none, some, gone };
    [[nodiscard]] Filter filter_of(pid_t pid) const;

    Parts parts_;
    DomainRows rows_;
    FilteredAtStart filtered_at_start_;
    std::string graft_program_;
    std::string exec_program_;
    std::map<base::ProcessId, Graft> grafts_;
    std::map<std::uint16_t, base::ProcessId> numbers_;
    std::deque<base::ProcessId> queue_;
    std::vector<base::ProcessId> let_in_;  // done since the last round: whom they forked is looked at
    Watch timer_;
};

}  // namespace gpcsup::supervisor
