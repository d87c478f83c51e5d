#pragma once
// What clients ask for, carried out: rights first, then the part that knows how. Answers of reading calls
// come from views.h.

#include <map>

#include "control/handler.h"
#include "grouping/delegation.h"
#include "supervisor/live_tree.h"
#include "supervisor/refusals.h"
#include "supervisor/run_request.h"
#include "supervisor/supervisor.h"

namespace gpcsup::supervisor {

class AttachRequest;

class Requests final : public control::Handler {
  public:
    explicit Requests(Supervisor& supervisor) : own_(supervisor), refusals_(*supervisor.chronicle_) {}

    void stop_everything(wire::StopHow how);
    void adopt_owners(const journal::States& states);  // units of `run` whose client may come back

    Json status(const control::Caller& caller, Names units, Text detail) override;
    Json tree(const control::Caller& caller, Text hierarchy) override {
        return own_.views_->tree(caller, hierarchy);
    }
    Json processes(const control::Caller& caller, Text what) override {
        return own_.views_->processes(caller, what);
    }
    Json get(Text group, Text attribute) override { return own_.views_->get(group, attribute); }
    Json hierarchies() override { return own_.views_->hierarchies(); }
    Json groups(Text prefix) override { return own_.views_->groups(prefix); }
    Json why(const control::Caller& caller, Text what) override { return own_.views_->why(caller, what); }
    Json describe(Text what) override { return Views::describe(what); }
    Json snapshot() override {
        return supervisor::snapshot(own_.forest_, *own_.controllers_, own_.rules_.rules());
    }
    base::Result<std::pair<std::string, std::uint64_t>> events(std::uint64_t since,
                                                               std::uint64_t most) override {
        return own_.chronicle_->lines(since, most);
    }

    base::Result<> set(const control::Caller& caller, Text group,
                       std::span<const std::pair<std::string, std::string>> settings) override;
    base::Result<std::uint64_t> job(const control::Caller& caller, control::JobKind kind, Names units,
                                    std::uint64_t token) override;
    void wait(const control::Caller& caller, std::uint64_t job, std::uint64_t timeout_us,
              control::Reply reply) override;
    base::Result<std::uint32_t> kill(const control::Caller& caller, Text what, int signal,
                                     Text whom) override;
    void wait_killed(const control::Caller& caller, Text what, control::Reply reply) override;
    void freeze(const control::Caller& caller, Text what, control::Reply reply) override;
    Json thaw(const control::Caller& caller, Text what) override;
    void wait_group(const control::Caller& caller, Text what, Text condition, std::uint64_t timeout_us,
                    control::Reply reply) override;
    Json attach(const control::Caller& caller, Names what, Names groups, Text scope,
                control::Refused refused) override;
    base::Result<> create_hierarchy(const control::Caller& caller, Text name, Names controllers,
                                    Text compat) override;
    base::Result<> remove_hierarchy(const control::Caller& caller, Text name) override;
    base::Result<> rebind_hierarchy(const control::Caller& caller, Text name, Names controllers) override;
    base::Result<> create_group(const control::Caller& caller, Text group, Text how) override;
    void remove_group(const control::Caller& caller, Text group, Text how, std::uint64_t timeout_us,
                      control::Reply reply) override;
    base::Result<> rename_group(const control::Caller& caller, Text group, Text name) override;
    base::Result<std::pair<std::string, std::uint64_t>> run(const control::Caller& caller, Text request,
                                                            control::Streams streams) override;
    Json apply(const control::Caller& caller, Text how) override;
    base::Result<> shutdown(const control::Caller& caller, Text how) override;
    base::Result<> reexec(const control::Caller& caller) override;
    void disconnected(std::uint64_t connection) override;

    std::vector<std::string> unit_names() override;
    base::Result<Properties> unit_properties(Text unit) override;
    std::vector<std::string> hierarchy_names() override;
    base::Result<Properties> hierarchy_properties(Text hierarchy) override;
    std::vector<std::string> group_names() override;
    base::Result<Properties> group_properties(Text group) override;
    std::string identity() override { return GPCSUP_VERSION; }
    std::pair<std::uint32_t, std::uint32_t> pids() override;
    std::string mode() override { return std::string(name_of(own_.here_.mode)); }

  private:
    [[nodiscard]] static bool is_privileged(const control::Caller& caller);
    [[nodiscard]] static base::Result<> may_change(const control::Caller& caller, Text what);
    // May this caller change this group: root and the supervisor's own user any, the others what has been
    // delegated to them (grouping/delegation.h).
    [[nodiscard]] base::Result<> may_manage(const control::Caller& caller, grouping::GroupId group,
                                            grouping::Manage what) const;
    // A group that is made, named and removed by hand: those of `unit` are the units'.
    [[nodiscard]] base::Result<> is_free(grouping::GroupId group) const;
    base::Result<Removals::Wish> removal_of(const control::Caller& caller, Text group, Text how);
    base::Result<std::pair<std::string, std::uint64_t>> started_before(const control::Caller& caller,
                                                                       std::uint64_t job,
                                                                       RunRequest::Client client);
    base::Result<grouping::HierarchyId> hierarchy_named(Text name) const;
    base::Result<> known(Names units) const;
    base::Result<grouping::GroupId> group_named(Text what) const;  // HIERARCHY:PATH, or a unit's own group
    void note_freezing(grouping::GroupId group, Text word);
    std::string refused_attach(const control::Caller& caller, const AttachRequest& request);
    std::string attached(const AttachRequest& request, const grouping::PlacementOutcome& outcome);
    void refused(Text event, const control::Caller& caller, grouping::GroupId group, const base::Error& error,
                 supervisor::Json details = supervisor::Json::object());

    Supervisor& own_;
    Refusals refusals_;
    std::map<std::uint64_t, std::vector<std::string>>
        owned_;                               // connection → transient units that end with it
    std::map<std::string, uid_t> ownerless_;  // after a replacement, for a while: unit → who may own it
    Watch ownerless_timer_;
};

}  // namespace gpcsup::supervisor
