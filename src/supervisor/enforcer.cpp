#include "supervisor/enforcer.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>

#include "launch/trap_table.h"

namespace gpcsup::supervisor {

using grouping::GroupId;

namespace {

constexpr std::uint64_t tell_interval_ns = 1'000'000'000;  // refusals of one group, as events
// From gpc-exec through gpc-init to gpc-enforce: gpc-exec waits half as long for its acknowledgement.
constexpr std::uint64_t handover_ns = 10'000'000'000;

// The controller of each kind of budget, whose hierarchy decides which group counts.
constexpr std::array<std::string_view, launch::budget_kinds> controller_of_kind = {"numtasks", "numtasks",
                                                                                   "numfiles"};

constexpr std::array<std::string_view, launch::budget_kinds> attribute_of_kind = {
    "numtasks.limit", "numtasks.process_limit", "numfiles.limit"};

}  // namespace

Enforcer::Enforcer(EventLoop& loop, KeeperLink& keeper, Census& census, grouping::Forest& forest,
                   Chronicle& chronicle, FileService& files)
    : loop_(loop), keeper_(keeper), census_(census), forest_(forest), chronicle_(chronicle), files_(files) {}

base::Result<> Enforcer::open() {
    const auto parent_of = [this](launch::GroupKey key) -> launch::GroupKey {
        return forest_.counted_above(GroupId{key}).value;
    };
    base::Fd kept = keeper_.take(wire::KeepClass::enforcement_table);
    bool adopted = static_cast<bool>(kept);
    auto client = adopted ? launch::EnforcementClient::adopt(std::move(kept), parent_of)
                          : launch::EnforcementClient::create(parent_of);
    if (!client && client.error().code == EPROTO) {
        // Limits and domains are written into a new one, from the groups and the journal. gpc-enforce answers
        // who waits, and makes place for a successor that reads it.
        lost_table_ = client.error();
        adopted = false;
        client = launch::EnforcementClient::create(parent_of);
    }
    if (!client) {
        return base::pass(client);
    }
    client_ = std::move(*client);
    table_ = adopted ? Table::adopted : Table::made;
    if (!adopted) {
        launch::fill_classes(client_->table());
        if (auto done =
                keeper_.keep(wire::KeepClass::enforcement_table, 0, "enforcement", client_->descriptor());
            !done) {
            return done;
        }
    }
    wakeup_ = keeper_.take(wire::KeepClass::supervisor_wakeup);
    enforce_wakeup_ = keeper_.take(wire::KeepClass::enforce_wakeup);
    client_->use_wakeup(enforce_wakeup_.get());
    recounter_ = std::make_unique<launch::Recounter>(
        *client_, probe_,
        [this](launch::GroupKey group, wire::BudgetKind kind) -> std::uint64_t {
            return count(GroupId{group}, kind);
        },
        [this](launch::GroupKey top) { return count_by_group(GroupId{top}); });
    census_.on_fork_event(
        [this](pid_t thread, std::uint64_t kernel_ns) { recounter_->note_fork(thread, kernel_ns); });
    return {};
}

base::Result<> Enforcer::watch(const std::string& reader_program, AffinityService::AllowedCpus cpus,
                               AffinityService::Granted granted, AffinityService::AllowedNodes nodes) {
    affinity_ = std::make_unique<AffinityService>(loop_, census_, *client_, reader_program, std::move(cpus),
                                                  std::move(granted), std::move(nodes));
    if (auto opened = affinity_->open(); !opened) {
        return opened;
    }
    auto watch = loop_.on_readable(wakeup_.get(), EventLoop::Priority::enforcement, [this] {
        eventfd_t count = 0;
        (void)eventfd_read(wakeup_.get(), &count);
        take_requests();
    });
    if (!watch) {
        return base::pass(watch);
    }
    wakeup_watch_ = std::move(*watch);
    return {};
}

std::uint64_t Enforcer::count(GroupId group, wire::BudgetKind kind) {
    if (kind != wire::BudgetKind::files) {
        const auto count = census_.count_exactly(group);
        return kind == wire::BudgetKind::processes ? count.processes : count.tasks;
    }
    // Far from its edge, the number of descriptors is near enough; whoever comes to it is counted.
    const auto row = client_->find(group.value, kind);
    const auto& budget = client_->budget(*row);
    const std::uint64_t edge = std::min(budget.limit.load(), budget.barrier.load());
    const std::uint64_t plenty = edge == wire::unlimited ? edge : edge - edge / 4;
    const std::uint64_t held = files_.count(group, plenty);
    if (held >= plenty) {
        keep_file_waters(group, {held, held});
    }
    return held;
}

std::map<launch::GroupKey, std::uint64_t> Enforcer::count_by_group(GroupId top) {
    std::map<launch::GroupKey, std::uint64_t> tasks;
    for (const auto& [group, count] : census_.count_by_group(top, forest_.group(top)->hierarchy)) {
        tasks[group.value] = count;
    }
    return tasks;
}

controllers::Host::Waters Enforcer::file_waters(GroupId group) {
    controllers::Host::Waters waters;
    if (auto row = client_->find(group.value, wire::BudgetKind::files)) {
        waters.most = client_->budget(*row).peak.load();
        if (const std::uint32_t least = client_->budget(*row).least.load(); least > 0) {
            waters.least = least - 1;
        }
    }
    return waters;
}

void Enforcer::keep_file_waters(GroupId group, const controllers::Host::Waters& waters) {
    auto row = client_->find(group.value, wire::BudgetKind::files);
    if (!row) {
        return;
    }
    wire::Budget& budget = client_->budget(*row);
    budget.peak.store(std::max(budget.peak.load(), static_cast<std::uint32_t>(waters.most)));
    if (waters.least) {
        const auto least = static_cast<std::uint32_t>(*waters.least) + 1;
        budget.least.store(budget.least.load() == 0 ? least : std::min(budget.least.load(), least));
    }
}

void Enforcer::take_requests() {
    census_.drain_tracker();
    recounter_->run();
    for (const launch::ParkedCall& call : client_->take_parked()) {
        affinity_->take(call);
    }
    tell_refusals();
}

base::Result<> Enforcer::publish(GroupId group, wire::BudgetKind kind, std::uint64_t limit, int refuse_errno,
                                 std::uint64_t barrier) {
    auto row = client_->publish({group.value, kind, limit, refuse_errno, barrier});
    if (!row) {
        return base::pass(row);
    }
    client_->kick();  // what waits for room may have it now
    return {};
}

void Enforcer::set_fork_rate(GroupId group, std::uint64_t count, std::uint64_t window_ns,
                             wire::RateSpends spends) {
    if (auto row = client_->find(group.value, wire::BudgetKind::tasks)) {
        client_->set_rate(*row, count, window_ns, spends);
    }
}

void Enforcer::set_guarantee(GroupId group, std::uint64_t count) {
    if (auto row = client_->find(group.value, wire::BudgetKind::tasks)) {
        client_->set_guarantee(*row, count);
    }
}

std::uint64_t Enforcer::fork_rate_failcnt(GroupId group) {
    auto row = client_->find(group.value, wire::BudgetKind::tasks);
    return row ? client_->budget(*row).rate_failcnt.load() : 0;
}

void Enforcer::retire(GroupId group, wire::BudgetKind kind) {
    if (auto row = client_->find(group.value, kind)) {
        client_->retire(*row);
    }
    last_told_ns_.erase({group, kind});
}

std::uint64_t Enforcer::failcnt(GroupId group, wire::BudgetKind kind) {
    auto row = client_->find(group.value, kind);
    return row ? client_->budget(*row).failcnt.load() : 0;
}

// In each row that the group has: which of its limits came first, and which is set, makes no difference.
void Enforcer::raise_peak(GroupId group, std::uint64_t tasks) {
    const auto seen = static_cast<std::uint32_t>(std::min<std::uint64_t>(tasks, UINT32_MAX));
    for (const auto kind : {wire::BudgetKind::tasks, wire::BudgetKind::processes}) {
        if (auto row = client_->find(group.value, kind); row && client_->budget(*row).peak.load() < seen) {
            client_->budget(*row).peak.store(seen);
        }
    }
}

std::uint64_t Enforcer::peak(GroupId group) {
    std::uint32_t highest = 0;
    for (const auto kind : {wire::BudgetKind::tasks, wire::BudgetKind::processes}) {
        if (auto row = client_->find(group.value, kind)) {
            highest = std::max(highest, client_->budget(*row).peak.load());
        }
    }
    return highest;
}

launch::EnforcedPlace Enforcer::enforced_place(const grouping::Places& places) const {
    launch::EnforcedPlace place{};
    for (std::size_t kind = 0; kind < place.size(); ++kind) {
        if (const grouping::Hierarchy* hierarchy = forest_.find_hierarchy(controller_of_kind[kind])) {
            place[kind] = places[hierarchy->id.value].value;
        }
    }
    return place;
}

base::Result<Enforcer::Filtered> Enforcer::prepare(std::uint64_t key,
                                                   std::span<const wire::TrapClass> classes,
                                                   const grouping::Places& places,
                                                   launch::Execution execution) {
    tidy(launch::monotonic_ns());
    auto filter = filters_.get(classes, execution);
    if (!filter) {
        return base::pass(filter);
    }
    if (auto done = client_->set_domain(key, enforced_place(places)); !done) {
        return base::pass(done);
    }
    domains_.insert(key);
    if (std::exchange(helper_, Helper::asked) == Helper::not_asked) {
        if (auto asked =
                keeper_.send(wire::KeepVerb::helper, static_cast<std::uint64_t>(wire::HelperKind::enforce));
            !asked) {
            return base::pass(asked);
        }
    }
    return Filtered{*filter, key};
}

void Enforcer::drop(std::uint64_t key) {
    client_->remove_domain(key);
    domains_.erase(key);
    ended_.erase(key);
}

void Enforcer::ended(std::uint64_t key) {
    if (client_->has_domain(key)) {
        ended_[key] = launch::monotonic_ns() + handover_ns;
    }
}

void Enforcer::tidy(std::uint64_t now_ns) {
    for (const std::uint64_t closed : client_->closed_domains()) {
        drop(closed);
    }
    using Listened = launch::EnforcementClient::Listened;
    for (auto at = ended_.begin(); at != ended_.end();) {
        const auto [key, due] = *at++;
        const Listened listened = client_->listened(key);
        if (listened == Listened::yes) {
            ended_.erase(key);  // it will hang up
        } else if (listened == Listened::no && now_ns >= due) {
            drop(key);
        }
    }
}

void Enforcer::retire_unclaimed() {
    client_->retire_unclaimed();
    std::ranges::for_each(client_->unclaimed_domains(), [this](std::uint64_t key) { ended(key); });
}

// Every row that was in use is in the table. To make one anew for a domain that had been closed would lose
// it: nobody hangs up a second time.
void Enforcer::restore_domain(std::uint64_t key, const grouping::Places& places) {
    if (key == 0 || (table_ == Table::adopted && !client_->has_domain(key))) {
        return;
    }
    if (client_->set_domain(key, enforced_place(places))) {
        domains_.insert(key);
    }
}

void Enforcer::move_domain(std::uint64_t key, const grouping::Places& places) {
    if (domains_.contains(key)) {
        (void)client_->set_domain(key, enforced_place(places));
    }
}

void Enforcer::move_process(pid_t pid, std::uint64_t key, const grouping::Places& places,
                            const grouping::Places* inherited) {
    const launch::EnforcedPlace* domain = client_->place_of(key);
    if (domain == nullptr) {
        return;
    }
    const launch::EnforcedPlace place = enforced_place(places);
    if (place == (inherited != nullptr ? enforced_place(*inherited) : *domain)) {
        client_->follow(pid, place);
    } else {
        (void)client_->set_override(pid, key, place);
    }
}

void Enforcer::expect(std::span<const GroupId> groups) {
    grouping::Places places{};
    for (const GroupId group : groups) {
        places[forest_.group(group)->hierarchy.value] = group;
    }
    client_->doubt(enforced_place(places));
}

std::string Enforcer::word() const {
    if (domains_.empty()) {
        return "none";
    }
    return client_->table().scheduling.load() == 1 ? "fifo" : "ordinary";
}

// A refused loop refuses a hundred times a second: one event a second and limit tells of it, with the newest
// caller and how often the limit has refused so far.
void Enforcer::tell_refusals() {
    std::map<std::pair<GroupId, wire::BudgetKind>, launch::RefusalRecord> newest;
    for (const launch::RefusalRecord& refusal : client_->read_refusals()) {
        newest[{GroupId{refusal.group}, refusal.kind}] = refusal;
    }
    for (const auto& [limit, refusal] : newest) {
        const auto [group, kind] = limit;
        std::uint64_t& last = last_told_ns_[limit];
        if (refusal.monotonic_ns - last < tell_interval_ns || forest_.group(group) == nullptr) {
            continue;
        }
        last = refusal.monotonic_ns;
        const bool of_rate = refusal.cause == wire::RefusalCause::rate;
        Json event{
            {"group", forest_.full_path(group)},
            {"attribute", of_rate ? "numtasks.forkrate" : attribute_of_kind[static_cast<std::size_t>(kind)]},
            {"pid", refusal.tid},
            {"failcnt", of_rate ? fork_rate_failcnt(group) : failcnt(group, kind)}};
        if (const auto caller = census_.files().stat(static_cast<pid_t>(refusal.tid))) {
            event["command"] = caller->name;  // it may have ended since
        }
        chronicle_.note("refused", event);
    }
}

}  // namespace gpcsup::supervisor
