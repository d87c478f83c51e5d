#pragma once
// gpcsupd: everything wired together on one loop. There is one way to start: replay what gpc-init kept, then
// go on. This file is wiring and nothing else; each part is in the header it includes.

#include <memory>
#include <optional>

#include "control/server.h"
#include "launch/descriptor_lane.h"
#include "supervisor/applying.h"
#include "supervisor/classifier.h"
#include "supervisor/configuration.h"
#include "supervisor/freezing.h"
#include "supervisor/grafts.h"
#include "supervisor/group_events.h"
#include "supervisor/group_waits.h"
#include "supervisor/host.h"
#include "supervisor/page_moves.h"
#include "supervisor/release.h"
#include "supervisor/removals.h"
#include "supervisor/services.h"
#include "supervisor/thread_places.h"
#include "supervisor/views.h"

namespace gpcsup::supervisor {

class Supervisor final : private CensusNews, private LiveFacts {
  public:
    static base::Result<std::unique_ptr<Supervisor>> create(Surroundings here);
    ~Supervisor() override;

    base::Result<> boot();  // until it serves (supervisor_boot.cpp)
    int run();              // the exit status; 70 when gpc-init has gone
    int give_up();          // after a boot that failed: the same

  private:
    friend class Requests;
    Supervisor(Surroundings here, std::unique_ptr<EventLoop> loop);

    // supervisor_boot.cpp, in this order
    base::Result<> receive_kept();
    base::Result<> open_journal();
    base::Result<> open_configuration();
    void tell_lost(std::string_view what, const base::Error& why);
    base::Result<> open_forest();  // hierarchies, groups, the table of processes
    base::Result<> open_enforcement();
    base::Result<std::unique_ptr<launch::StartSlots>> open_slots();
    base::Result<> open_services();
    base::Result<> open_placement();
    base::Result<> restore_groups();
    base::Result<> restore_processes();
    base::Result<> watch_enforcement();
    base::Result<> open_sockets();
    base::Result<> watch_sockets();
    void take_up();
    void restore_started();
    void write_started(std::string_view event);
    void serve();
    // Nobody has booted here before.
    [[nodiscard]] bool is_fresh() const { return !recorded_.contains("started"); }

    // supervisor.cpp
    void hear_keeper();
    void on_keeper_message(const wire::KeepMessage& message);
    void end_after(wire::StopHow how);
    void look_at_cpus();
    void watch_hotplug();

    // supervisor_groups.cpp
    base::Result<> open_group_parts();
    void recover_groups();
    void review_groups();
    void init_has_gone();
    void tidy_groups();

    // CensusNews
    void forked(const processes::Process* parent, processes::Process& child) override;
    void executed(processes::Process& process) override;
    void thread_started(processes::Process& process, pid_t thread) override {
        thread_places_->thread_started(process, thread);
    }
    void thread_ended(processes::Process& process, pid_t thread) override {
        thread_places_->thread_ended(process, thread);
    }
    void swept() override { thread_places_->look(); }
    void identity_changed(processes::Process& process) override { classifier_->identity_changed(process); }
    void lost() override { classifier_->lost(); }
    void exited(const processes::Process& process) override;
    void emptied(grouping::GroupId group) override;
    void attributed(processes::Process& orphan, processes::Attribution how) override;
    void reaped(const wire::ExitRecord& record, const processes::Process* process) override {
        services_->reaped(record, process);
    }
    void untracked(pid_t pid) override;
    void news_taken() override;
    std::optional<grouping::MembershipId> started_by_us(pid_t pid) override {
        return services_->started_by_us(pid);
    }
    std::optional<grouping::MembershipId> unit_places(std::string_view unit) override {
        return services_->unit_places(unit);
    }

    // LiveFacts
    void refresh_processes() override { census_->take_news(); }
    std::string state_word() override;
    std::string tracking() override { return processes::to_string(census_->quality()); }
    std::string tracking_reason() override { return census_->tracking_reason(); }
    std::string enforcement_word() override { return enforcer_->word(); }
    Json enforcement_of(std::string_view unit) override { return services_->enforcement_of(unit); }
    Json enforcement_of(const processes::Process& process) override {
        return services_->enforcement_of(process);
    }
    std::uint64_t log_waiting(std::string_view unit) override { return services_->log_waiting(unit); }
    std::vector<std::string> warnings(units::Audience audience) override;
    std::unordered_map<grouping::GroupId, processes::CpuTime> cpu_times() override {
        return census_->cpu_times(Placing::unit_hierarchy);
    }
    processes::CpuTime cpu_time(grouping::GroupId group) override { return census_->cpu_time(group); }

    Surroundings here_;
    std::unique_ptr<EventLoop> loop_;
    KeeperLink keeper_;
    std::optional<launch::DescriptorLane> lane_;
    std::unique_ptr<Chronicle> chronicle_;
    journal::States recorded_;  // the fold of the journal that was found; empty once it has been restored
    Configuration configuration_;
    grouping::Forest forest_;
    processes::ThreadsApart threads_{forest_};
    std::unique_ptr<Census> census_;
    std::unique_ptr<PastLimits> past_limits_;
    std::unique_ptr<GroupNotes> notes_;
    std::unique_ptr<MachineHost> host_;
    base::CpuList online_;  // as last seen
    base::CpuList online_nodes_;
    std::unique_ptr<FileService> files_;
    std::unique_ptr<PageMoves> page_moves_;
    std::unique_ptr<Enforcer> enforcer_;
    std::unique_ptr<controllers::ControllerSet> controllers_;
    std::unique_ptr<ThreadPlaces> thread_places_;
    std::unique_ptr<Groups> groups_;
    std::unique_ptr<Removals> removals_;
    RuleBook rules_;
    std::unique_ptr<Placing> placing_;
    std::unique_ptr<units::Engine> engine_;
    std::unique_ptr<Kills> kills_;
    std::unique_ptr<Services> services_;
    std::unique_ptr<Grafts> grafts_;
    std::unique_ptr<Jobs> jobs_;
    std::unique_ptr<controllers::TablePopulation> population_;
    std::unique_ptr<Classifier> classifier_;
    std::unique_ptr<Applying> applying_;
    std::unique_ptr<Freezing> freezing_;
    std::unique_ptr<GroupEvents> group_events_;
    std::unique_ptr<GroupWaits> group_waits_;
    std::unique_ptr<Releases> releases_;
    std::unique_ptr<Views> views_;
    std::unique_ptr<control::Handler> requests_;
    std::unique_ptr<control::Server> server_;
    base::Fd control_socket_;
    base::Fd notify_socket_;
    Watch keeper_watch_;
    Watch keeper_waiting_;
    Watch notify_watch_;
    base::Fd hotplug_;
    Watch hotplug_watch_;
    Watch tidy_watch_;
    std::optional<wire::StopHow> ending_;
    std::vector<grouping::GroupId> emptied_;
    bool groups_changed_ = true;  // at first: a predecessor may have been cut off
    int exit_status_ = 0;
};

}  // namespace gpcsup::supervisor
