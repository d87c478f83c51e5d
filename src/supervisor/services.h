#pragma once
// Carries out what the engine asks for: starts processes through gpc-exec, signals them, kills groups; and
// tells the engine what came of it. It decides nothing about units. After every input: journal, carry out,
// look at the jobs (see settle).

#include <sys/resource.h>

#include <deque>
#include <map>

#include "launch/descriptor_lane.h"
#include "launch/notify_message.h"
#include "launch/plan.h"
#include "launch/slots.h"
#include "supervisor/census.h"
#include "supervisor/domain_rows.h"
#include "supervisor/enforcer.h"
#include "supervisor/jobs.h"
#include "supervisor/kills.h"
#include "supervisor/log_pipes.h"
#include "supervisor/placing.h"
#include "supervisor/surroundings.h"
#include "units/engine.h"
#include "wire/names.h"

namespace gpcsup::supervisor {

// Descriptors and words of a `run`, beyond what a declaration says.
struct RunStreams {
    base::Fd input;
    base::Fd output;
    base::Fd error;
};

// Filters that were set while their processes ran already (grafts.h).
class LaterFilters {
  public:
    virtual ~LaterFilters() = default;
    // "enforced", or "observed: REASON"; nothing when nobody has tried.
    [[nodiscard]] virtual std::optional<std::string> word(const processes::Process& process,
                                                          std::string_view controller) const = 0;
    virtual void place_domains() = 0;
};

class Services final : public UnitStates {
  public:
    struct Parts {
        const Surroundings& here;
        EventLoop& loop;
        KeeperLink& keeper;
        Census& census;
        Enforcer& enforcer;
        grouping::Forest& forest;
        Groups& groups;
        controllers::ControllerSet& controllers;
        Placing& placing;
        Chronicle& chronicle;
        units::Engine& engine;
        Kills& kills;
        const launch::DescriptorLane* lane;  // may be null
    };
    Services(const Parts& parts, std::unique_ptr<launch::StartSlots> slots);

    base::Result<> open();  // log pipes, the handover socket, the names of the helper programs
    void set_jobs(Jobs& jobs) { jobs_ = &jobs; }
    [[nodiscard]] std::uint64_t log_waiting(std::string_view unit) const { return logs_.waiting(unit); }
    void close_logs() { logs_.close_writers(); }  // nothing may be started any more
    void on_quiet(std::function<void()> call) { all_quiet_ = std::move(call); }
    // Called with the unit's group before its processes are asked to end.
    void before_stop(std::function<void(grouping::GroupId)> call) { before_stop_ = std::move(call); }

    // The rhythm after every input to the engine: changed states are journalled, then actions carried out,
    // until there are none.
    void settle();

    // --- recovery, in this order ---
    void restore_units(
        const journal::States& states);  // states of the engine, running commands, exits not yet told
    void adopt_starts();                 // what the start slots say
    void finish_recovery();              // exits, empty groups, exec results; then resume

    // --- news ---
    void reaped(const wire::ExitRecord& record, const processes::Process* process);
    void emptied(grouping::GroupId group);
    void executed(const processes::Process& process);
    void exited(const processes::Process& process);
    [[nodiscard]] std::optional<grouping::MembershipId> started_by_us(pid_t pid);
    [[nodiscard]] std::optional<grouping::MembershipId> unit_places(std::string_view unit);
    void receive_notifications(int socket);

    // --- requests ---
    base::Result<std::uint32_t> signal_group(grouping::GroupId group, int signal);
    base::Result<> signal_main(std::string_view unit, int signal);
    base::Result<> start_transient(units::Declaration declaration, RunStreams streams);
    [[nodiscard]] Json enforcement_of(std::string_view unit);
    [[nodiscard]] Json enforcement_of(const processes::Process& process);
    // Whether its unit was given a filter when it was started.
    [[nodiscard]] bool is_filtered(const processes::Process& process) const;
    void set_later_filters(LaterFilters& later) { later_ = &later; }
    [[nodiscard]] launch::StartSlots& slots() { return *slots_; }
    [[nodiscard]] int handover() const { return handover_.get(); }
    void moved(std::string_view unit, const processes::Process& process);  // after a placement
    void place_domains();  // after hierarchies came, went or got other controllers, and after a restart

    // UnitStates
    const units::UnitState* unit_state(std::string_view name) override { return parts_.engine.find(name); }
    std::optional<ExecFailure> exec_failure(std::string_view name) override;
    std::string waiting_for(const units::UnitState& state) override {
        return parts_.engine.waiting_for(state.name, now());
    }

  private:
    struct Live {  // what is known of a unit beside the engine's state
        std::optional<launch::SlotId> slot;
        base::Fd status;  // end of file: gpc-exec is through, or has failed
        Watch status_watch;
        std::optional<ExecFailure> exec_failure;
        base::ProcessId command;                     // of a stop or reload command that runs
        std::optional<launch::SlotId> command_slot;  // its own until it has ended: gpc-exec may write into it
        std::uint64_t command_domain = 0;            // key of that one's listener; 0 = unfiltered
        std::uint64_t domain = 0;                    // key of the main process's listener; 0 = unfiltered
        std::vector<std::string> trapped;            // controllers whose calls its filter traps
        enum class Recorded { no, yes } recorded = Recorded::no;  // as launch/UNIT in the journal
        RunStreams streams;
    };
    enum class Role { main, command };
    struct Exit {
        std::string unit;
        base::ProcessId process;
        units::ExitStatus status;
        Role role;
    };

    [[nodiscard]] static units::TimePoint now();
    void settle_unit(grouping::GroupId group, std::uint64_t domain, DomainRows::Below below);
    void write_changed();
    void carry_out(const units::Action& action);
    void report(const units::Action& action);
    void let_go(std::optional<grouping::GroupId> group);
    void start(const std::string& unit);
    base::Result<base::ProcessId> launch(const units::Declaration& unit,
                                         const std::vector<std::string>& command, Role role,
                                         launch::SlotId slot, std::uint64_t intent);
    base::Result<base::ProcessId> try_launch(const units::Declaration& unit,
                                             const std::vector<std::string>& command, Role role,
                                             launch::SlotId slot, std::uint64_t intent);
    base::Result<> set_filter(const units::Declaration& unit, const grouping::Places& places, Role role,
                              std::uint64_t intent, launch::LaunchRequest& request);
    base::Result<> connect_streams(const units::Declaration& unit, Live& live,
                                   launch::LaunchRequest& request);
    void exec_settled(const std::string& unit);
    void run_command(const std::string& unit, const std::vector<std::string>& command);
    void fail_start(const std::string& unit, const base::Error& error);
    [[nodiscard]] base::Result<> check_headroom() const;
    void tell_exits();
    void tell_main_exit(const Exit& exit);
    void tell_command_exit(const Exit& exit);
    void forget_told();
    [[nodiscard]] std::optional<std::pair<std::string, Role>> owner_of(
        base::ProcessId id, const processes::Process* process) const;
    void adopt_mains();
    void end_untracked(pid_t pid, const base::Error& why);
    void restore_launch(const std::string& unit, const Json& body);
    void look_at_starts();
    [[nodiscard]] bool is_through(const units::UnitState& state, launch::SlotId slot);
    void main_ended(const std::string& unit, base::ProcessId process);
    void record_launch(const std::string& unit, Live& live);
    void notified(const launch::ReceivedNotify& message);
    void forget(const std::string& unit);
    [[nodiscard]] std::string unit_of(const processes::Process& process) const;

    Parts parts_;
    DomainRows rows_;
    std::unique_ptr<launch::StartSlots> slots_;
    LogPipes logs_;
    Jobs* jobs_ = nullptr;
    std::function<void()> all_quiet_;
    std::function<void(grouping::GroupId)> before_stop_;
    LaterFilters* later_ = nullptr;
    std::map<std::string, Live, std::less<>> live_;
    std::deque<Exit> exits_;
    std::vector<Exit> told_;  // their records go when what follows from them has been written
    std::vector<grouping::GroupId> emptied_;
    base::Fd handover_;
    std::string exec_program_;
    std::string names_program_;
    rlimit descriptor_limit_{};  // as it was when we were started: services get it back
    Watch deadline_;
    Watch rest_timer_;
    Watch look_again_;
    std::uint64_t look_pause_ns_ = 0;
    enum class Settling { no, yes } settling_ = Settling::no;
    enum class LogHelper { not_asked, asked } log_helper_ = LogHelper::not_asked;
};

}  // namespace gpcsup::supervisor
