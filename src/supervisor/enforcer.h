#pragma once
// gpcsupd's part in enforcement: limits and places as rows of the shared table, exact counts when gpc-enforce
// asks for them, calls performed on members' behalf, refusals told as events. What a limit is, the
// controllers say; who decides is gpc-enforce.

#include <map>
#include <set>

#include "controllers/dispatcher.h"
#include "launch/enforcement_table.h"
#include "launch/filter.h"
#include "launch/recount.h"
#include "supervisor/affinity_service.h"
#include "supervisor/census.h"
#include "supervisor/chronicle.h"
#include "supervisor/file_service.h"

namespace gpcsup::supervisor {

class Enforcer {
  public:
    Enforcer(EventLoop& loop, KeeperLink& keeper, Census& census, grouping::Forest& forest,
             Chronicle& chronicle, FileService& files);

    base::Result<> open();  // adopts or makes the table
    base::Result<> watch(const std::string& reader_program, AffinityService::AllowedCpus cpus,
                         AffinityService::Granted granted, AffinityService::AllowedNodes nodes);
    void retire_unclaimed();  // after everything has been restored
    // The highest number that a listener has. Numbers of starts are numbers of listeners, too.
    [[nodiscard]] std::uint64_t highest_listener() const { return client_->highest_domain(); }

    // Limits, for the controllers' Host.
    base::Result<> publish(grouping::GroupId group, wire::BudgetKind kind, std::uint64_t limit,
                           int refuse_errno, std::uint64_t barrier = wire::unlimited);
    [[nodiscard]] controllers::Host::Waters file_waters(grouping::GroupId group);
    void keep_file_waters(grouping::GroupId group, const controllers::Host::Waters& waters);
    void set_fork_rate(grouping::GroupId group, std::uint64_t count, std::uint64_t window_ns,
                       wire::RateSpends spends);
    void set_guarantee(grouping::GroupId group, std::uint64_t count);
    [[nodiscard]] std::uint64_t fork_rate_failcnt(grouping::GroupId group);
    void retire(grouping::GroupId group, wire::BudgetKind kind);
    [[nodiscard]] std::uint64_t failcnt(grouping::GroupId group, wire::BudgetKind kind);
    [[nodiscard]] bool has_budget(grouping::GroupId group, wire::BudgetKind kind) const {
        return client_->find(group.value, kind).has_value();
    }
    void raise_peak(grouping::GroupId group, std::uint64_t tasks);
    [[nodiscard]] std::uint64_t peak(grouping::GroupId group);

    // A filtered start: the domain is in the table before the process is made. gpc-enforce is asked for if it
    // does not run yet.
    struct Filtered {
        std::shared_ptr<const launch::Filter> filter;
        std::uint64_t key = 0;
    };
    base::Result<Filtered> prepare(std::uint64_t key, std::span<const wire::TrapClass> classes,
                                   const grouping::Places& places,
                                   launch::Execution execution = launch::Execution::free);
    [[nodiscard]] bool has_domain(std::uint64_t key) const { return client_->has_domain(key); }
    [[nodiscard]] launch::EnforcementClient::Listened listened(std::uint64_t key) const {
        return client_->listened(key);
    }
    // The row comes back when gpc-enforce sees the listener hang up. A start that came to nothing has none:
    // `drop`, when that is certain; `ended`, when its process has gone and may have handed its listener over.
    void drop(std::uint64_t key);
    void ended(std::uint64_t key);
    void tidy(std::uint64_t now_ns);  // takes back the rows that nobody can use any more
    void restore_domain(std::uint64_t key, const grouping::Places& places);
    void move_domain(std::uint64_t key, const grouping::Places& places);
    // One process of a domain: it gets a row of its own if it is somewhere else than what it inherits, which
    // is the domain's place if `inherited` is null.
    void move_process(pid_t pid, std::uint64_t key, const grouping::Places& places,
                      const grouping::Places* inherited);
    [[nodiscard]] bool has_row(pid_t pid) const { return client_->has_override(pid); }
    // Processes are about to be moved into these groups without a trapped fork: the next request counts anew.
    void expect(std::span<const grouping::GroupId> groups);
    void forget_process(pid_t pid) { client_->remove_override(pid); }

    [[nodiscard]] std::string word() const;  // "fifo", "ordinary", "none"
    // Why the table that was found was left behind, if it was.
    [[nodiscard]] const std::optional<base::Error>& lost_table() const { return lost_table_; }
    void take_requests();  // what gpc-enforce parked

  private:
    [[nodiscard]] launch::EnforcedPlace enforced_place(const grouping::Places& places) const;
    void tell_refusals();
    std::uint64_t count(grouping::GroupId group, wire::BudgetKind kind);
    std::map<launch::GroupKey, std::uint64_t> count_by_group(grouping::GroupId top);

    EventLoop& loop_;
    KeeperLink& keeper_;
    Census& census_;
    grouping::Forest& forest_;
    Chronicle& chronicle_;
    FileService& files_;
    std::unique_ptr<launch::EnforcementClient> client_;
    launch::SystemThreadProbe probe_;
    std::unique_ptr<launch::Recounter> recounter_;
    launch::FilterCache filters_;
    std::unique_ptr<AffinityService> affinity_;
    std::set<std::uint64_t> domains_;
    std::map<std::uint64_t, std::uint64_t> ended_;  // key → from when on no listener of it is on its way
    enum class Table { made, adopted } table_ = Table::made;
    std::optional<base::Error> lost_table_;
    base::Fd wakeup_;          // gpc-enforce → us
    base::Fd enforce_wakeup_;  // us → gpc-enforce
    Watch wakeup_watch_;
    enum class Helper { not_asked, asked } helper_ = Helper::not_asked;
    // Refusals are told at a bounded rate.
    std::map<std::pair<grouping::GroupId, wire::BudgetKind>, std::uint64_t> last_told_ns_;
};

}  // namespace gpcsup::supervisor
