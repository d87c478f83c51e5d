#pragma once
// What people and scripts are shown: the JSON of docs/bus.md, made from the tables as they are now. It
// changes nothing.

#include <unordered_map>

#include "control/handler.h"
#include "controllers/dispatcher.h"
#include "processes/process_table.h"
#include "processes/threads_apart.h"
#include "supervisor/chronicle.h"
#include "supervisor/jobs.h"
#include "supervisor/placing.h"
#include "supervisor/surroundings.h"
#include "sys/local_accounts.h"
#include "sys/proc_files.h"
#include "units/engine.h"
#include "units/settings.h"

namespace gpcsup::supervisor {

// Facts that only the running parts know.
class LiveFacts {
  public:
    virtual ~LiveFacts() = default;
    virtual void refresh_processes() = 0;  // brings the process table up to date with what has happened
    virtual std::string state_word() = 0;  // "starting", "running", "degraded", "stopping"
    virtual std::string tracking() = 0;    // "exact", "sampled"
    virtual std::string tracking_reason() = 0;
    virtual std::string enforcement_word() = 0;  // "fifo", "ordinary", "none"
    virtual Json enforcement_of(std::string_view unit) = 0;
    virtual Json enforcement_of(const processes::Process& process) = 0;
    virtual std::uint64_t log_waiting(std::string_view unit) = 0;  // bytes that are not in its log yet
    virtual std::vector<std::string> warnings(units::Audience audience) = 0;
    // Of every group in the hierarchy `unit`; in a crowd up to a second old.
    virtual std::unordered_map<grouping::GroupId, processes::CpuTime> cpu_times() = 0;
    virtual processes::CpuTime cpu_time(grouping::GroupId group) = 0;
};

class Views {
  public:
    struct Sources {
        const Surroundings& here;
        units::Engine& engine;
        grouping::Forest& forest;
        controllers::ControllerSet& controllers;
        processes::ProcessTable& table;
        const processes::ThreadsApart& threads;
        sys::ProcFiles& files;
        Placing& placing;
        Chronicle& chronicle;
        RuleBook& rules;
        LiveFacts& facts;
    };
    explicit Views(const Sources& sources) : from_(sources), started_ns_(0) {}
    void set_start_time(std::uint64_t realtime_ns) { started_ns_ = realtime_ns; }
    [[nodiscard]] std::uint64_t start_time() const { return started_ns_; }

    using Answer = base::Result<std::string>;
    Answer status(const control::Caller& caller, std::span<const std::string> units, std::string_view detail);
    Answer tree(const control::Caller& caller, std::string_view hierarchy);
    Answer processes(const control::Caller& caller, std::string_view what);
    Answer get(std::string_view group, std::string_view attribute);
    Answer hierarchies();
    Answer groups(std::string_view prefix);
    Answer why(const control::Caller& caller, std::string_view what);  // a unit, HIERARCHY:PATH or a pid
    static Answer describe(std::string_view what);

    // The unit of a process by its place in the hierarchy `unit`; empty = unattributed.
    [[nodiscard]] std::string unit_of(const processes::Process& process) const;
    [[nodiscard]] Json place_of(const processes::Process& process) const;
    [[nodiscard]] Json place_of(const base::ThreadId& thread) const;

  private:
    Answer why_unit(std::string_view unit);
    Answer why_group(const control::Caller& caller, std::string_view name);
    Answer why_process(const control::Caller& caller, std::string_view pid);
    [[nodiscard]] Json origin_of(const processes::Process& process) const;
    [[nodiscard]] Json groups_of(const base::ThreadId& thread) const;  // where it is apart
    // Those in the group and below whose processes are not.
    [[nodiscard]] Json visiting_threads(const control::Caller& caller, grouping::GroupId group);
    [[nodiscard]] Json threads_apart_of(const processes::Process& process) const;
    [[nodiscard]] Json placement_reasons(const processes::Process& process) const;
    [[nodiscard]] std::string placement_reason(const processes::Process& process,
                                               const grouping::Hierarchy& hierarchy) const;
    [[nodiscard]] Json supervisor_header(const control::Caller& caller);
    [[nodiscard]] Json unit_summary(const units::UnitState& state);
    void add_details(Json& unit, const units::UnitState& state);
    [[nodiscard]] static Json settings_of(const units::Declaration& unit, units::Audience audience);
    // May this caller see arguments and environments: of this unit, of all.
    [[nodiscard]] units::Audience audience_of(const control::Caller& caller,
                                              const units::Declaration& unit) const;
    [[nodiscard]] static units::Audience audience_of(const control::Caller& caller);
    [[nodiscard]] Json limits_of(const grouping::Places& places);
    [[nodiscard]] grouping::Places places_of_unit(const units::UnitState& state) const;
    [[nodiscard]] Json frozen_by(const grouping::Places& places) const;
    // While one answer is made: of each combination of groups, and of each process.
    using Shared = std::unordered_map<std::uint32_t, Json>;
    using Commands = std::unordered_map<pid_t, std::string>;
    [[nodiscard]] const Json& shared_facts(Shared& shared, const processes::Process& process) const;
    [[nodiscard]] Json group_tree(const control::Caller& caller, grouping::GroupId group, Commands& commands);
    [[nodiscard]] std::string command_of(const control::Caller& caller, pid_t pid);
    Answer get_unbound(std::string_view controller, std::string_view attribute);
    void add_process(const control::Caller& caller, const processes::Process& process, Shared& shared,
                     Json& list);

    Sources from_;
    sys::LocalAccounts accounts_;  // whose units are whose
    std::uint64_t started_ns_;
};

[[nodiscard]] Json value_to_json(const controllers::Value& value);

}  // namespace gpcsup::supervisor
