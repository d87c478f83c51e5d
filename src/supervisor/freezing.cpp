#include "supervisor/freezing.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>

#include "supervisor/kills.h"
#include "supervisor/records.h"

namespace gpcsup::supervisor {

using grouping::GroupId;
using processes::Process;

namespace {

constexpr std::string_view prefix = "frozen/";
constexpr auto patience = std::chrono::seconds(5);
// Nothing tells us of a SIGCONT: between two looks, a member that somebody continued may run.
constexpr std::uint64_t check_interval_ns = 1'000'000'000;
constexpr std::size_t checked_at_once = 4096;  // members a look

std::string key_of(GroupId group) {
    return fmt::format("{}{:08}", prefix, group.value);
}

}  // namespace

base::Result<> Freezing::open() {
    auto stepping = loop_.on_time(EventLoop::Priority::processes, [this] {
        step();
        census_.take_news();
    });
    if (!stepping) {
        return base::pass(stepping);
    }
    step_timer_ = std::move(*stepping);
    auto checking = loop_.on_time(EventLoop::Priority::idle, [this] { check(); });
    if (!checking) {
        return base::pass(checking);
    }
    check_timer_ = std::move(*checking);
    return {};
}

void Freezing::restore(const journal::States& states) {
    each_record(states, prefix, chronicle_, [this](const std::string& number, const Json&) {
        const GroupId group{static_cast<std::uint32_t>(std::stoul(number))};
        if (forest_.group(group) == nullptr) {
            chronicle_.erase("", std::string(prefix) + number);
            return;
        }
        forest_.set_frozen(group, grouping::Freezing::frozen);
        frozen_.insert(group);
    });
}

// What a predecessor may have left half done, either way.
void Freezing::reapply() {
    processes_ = Processes::known;
    std::vector<base::ProcessId> stopped;
    census_.table().for_each([&](Process& process) {
        if (process.has(processes::process_frozen) && !process.has(processes::process_dead)) {
            stopped.push_back(process.id());
        }
    });
    for (const auto& id : stopped) {
        Process* process = census_.table().find(id);
        if (process != nullptr && !is_to_stand_still(*process)) {
            processes::thaw_process(*process, census_.signals());
        }
    }
    for (const GroupId group : frozen_) {
        running_.push_back({census_.group_freeze(group, patience), {}});
    }
    step();
    arm_check();
}

bool Freezing::is_to_stand_still(const Process& process) const {
    if (process.has(processes::process_unfreezable) || process.has(processes::process_helper)) {
        return false;
    }
    const grouping::Places& places = census_.table().places(process);
    return std::any_of(places.begin(), places.end(), [this](GroupId id) {
        const grouping::Group* group = forest_.group(id);
        return group != nullptr && group->frozen_effective;
    });
}

bool Freezing::is_settled(GroupId id) const {
    const grouping::Group* group = forest_.group(id);
    return group != nullptr && group->frozen_effective &&
           std::none_of(running_.begin(), running_.end(), [&](const Running& running) {
               return forest_.is_within(id, running.freeze.group()) ||
                      forest_.is_within(running.freeze.group(), id);
           });
}

// A survivor that was moved elsewhere is nobody whom this freeze concerns.
bool Freezing::is_in(const base::ProcessId& process, GroupId frozen) const {
    const Process* known = census_.table().find(process);
    const grouping::Group* group = forest_.group(frozen);
    return known != nullptr && group != nullptr &&
           forest_.is_within(census_.table().place(*known, group->hierarchy), frozen);
}

bool Freezing::runs(const base::ProcessId& process) const {
    const auto stat = census_.files().stat(process.pid);
    return stat && stat->start_time == process.start_time && !stat->ended() &&
           !sys::is_stopped(sys::living_state(census_.files(), *stat));
}

bool Freezing::stands_still(GroupId id) {
    for (auto& [frozen, survivors] : unreached_) {
        if (forest_.is_within(id, frozen) || forest_.is_within(frozen, id)) {
            std::erase_if(survivors,
                          [&](const base::ProcessId& one) { return !is_in(one, frozen) || !runs(one); });
        }
    }
    std::erase_if(unreached_, [](const auto& one) { return one.second.empty(); });
    return is_settled(id) && std::none_of(unreached_.begin(), unreached_.end(), [&](const auto& one) {
               return forest_.is_within(id, one.first) || forest_.is_within(one.first, id);
           });
}

// --- what clients ask for
// --------------------------------------------------------------------------------------------------

void Freezing::freeze(GroupId id, std::uint64_t connection, control::Reply reply) {
    const grouping::Group* group = forest_.group(id);
    if (group == nullptr || group->parent.value == 0) {
        reply(base::refuse(EINVAL, "the root of a hierarchy holds every process and is not frozen",
                           "freeze a group below it"));
        return;
    }
    Running& running = start(id);
    if (running.waiters.size() >= most_waits) {
        reply(base::refuse(EBUSY, "too many clients wait already"));
        return;
    }
    running.waiters.push_back({connection, std::move(reply)});
    step();
    arm_check();
}

void Freezing::mark(GroupId id) {
    if (frozen_.insert(id).second) {
        chronicle_.state("", key_of(id), {{"group", forest_.full_path(id)}});
        forest_.set_frozen(id, grouping::Freezing::frozen);
    }
}

Freezing::Running& Freezing::start(GroupId id) {
    mark(id);
    unreached_.erase(id);
    const auto running = std::find_if(running_.begin(), running_.end(),
                                      [&](const Running& one) { return one.freeze.group() == id; });
    return running != running_.end() ? *running : running_.emplace_back(census_.group_freeze(id, patience));
}

void Freezing::ask(GroupId id) {
    if (processes_ == Processes::unknown) {
        mark(id);
    } else if (!frozen_.contains(id) || !stands_still(id)) {
        start(id);
        step();
        arm_check();
    }
}

base::Result<std::string> Freezing::thaw(GroupId id) {
    const std::string path = forest_.full_path(id);
    unreached_.erase(id);
    if (frozen_.erase(id) > 0) {
        chronicle_.erase("group-thawed", key_of(id), {{"group", path}});
        forest_.set_frozen(id, grouping::Freezing::thawed);
    }
    for (auto at = running_.begin(); at != running_.end();) {
        if (at->freeze.group() != id || stepping_ == Stepping::yes) {
            ++at;
            continue;
        }
        refuse_waiters(*at);
        at = running_.erase(at);
    }
    const std::uint32_t continued = continue_members(id);
    const auto by = forest_.frozen_by(id);
    if (changed_) {
        changed_();
    }
    return Json{{"schema", 1},
                {"group", path},
                {"frozen", by.has_value()},
                {"frozen_by", by ? Json(forest_.full_path(*by)) : Json()},
                {"processes", continued}}
        .dump();
}

std::uint32_t Freezing::continue_members(GroupId id) {
    std::uint32_t count = 0;
    census_.table().for_each_member_below(id, [&](Process& process) {
        if (process.has(processes::process_frozen) && !is_to_stand_still(process)) {
            processes::thaw_process(process, census_.signals());
            ++count;
        }
    });
    return count;
}

void Freezing::disconnected(std::uint64_t connection) {
    for (Running& running : running_) {
        std::erase_if(running.waiters, [&](const Waiter& one) { return one.connection == connection; });
    }
}

// --- the freezes under way
// -------------------------------------------------------------------------------------------------

void Freezing::step() {
    if (std::exchange(stepping_, Stepping::yes) == Stepping::yes) {
        return;  // asked for by an observer of the step that is under way, which comes to it
    }
    std::chrono::nanoseconds again{};
    bool ended = false;
    for (auto at = running_.begin(); at != running_.end();) {
        const bool thawed_meanwhile = !frozen_.contains(at->freeze.group());
        const auto status = thawed_meanwhile ? processes::GroupFreeze::Status{} : at->freeze.step();
        if (!thawed_meanwhile && !status.over()) {
            again = again.count() == 0 ? status.again : std::min(again, status.again);
            ++at;
            continue;
        }
        if (thawed_meanwhile) {
            refuse_waiters(*at);
        } else {
            finish(*at);
        }
        at = running_.erase(at);
        ended = true;
    }
    stepping_ = Stepping::no;
    loop_.arm(step_timer_,
              again.count() == 0 ? 0 : monotonic_now_ns() + static_cast<std::uint64_t>(again.count()));
    if (ended && changed_) {
        changed_();
    }
}

void Freezing::refuse_waiters(Running& running) {
    const GroupId id = running.freeze.group();
    const bool there = forest_.group(id) != nullptr;
    for (Waiter& waiter : running.waiters) {
        waiter.reply(
            there ? base::refuse(EBUSY, forest_.full_path(id) + " was thawed before all of it was frozen")
                  : base::refuse(ENOENT, "the group was removed before all of it was frozen"));
    }
}

void Freezing::finish(Running& running) {
    const processes::GroupFreeze& freeze = running.freeze;
    const std::string path = forest_.full_path(freeze.group());
    for (const auto& survivor : freeze.survivors()) {
        unreached_[freeze.group()].push_back(survivor.process);
        chronicle_.note("freeze-survivor",
                        {{"group", path}, {"pid", survivor.process.pid}, {"reason", survivor.reason}});
    }
    chronicle_.note(
        "group-frozen",
        {{"group", path}, {"processes", freeze.stopped()}, {"survivors", freeze.survivors().size()}});
    const std::string answer = Json{{"schema", 1},
                                    {"group", path},
                                    {"frozen", true},
                                    {"processes", freeze.stopped()},
                                    {"survivors", survivors_to_json(freeze.survivors())}}
                                   .dump();
    for (Waiter& waiter : running.waiters) {
        waiter.reply(answer);
    }
}

// --- keeping it so
// -------------------------------------------------------------------------------------------------------------

void Freezing::born(const Process* parent, Process& child) {
    if (parent != nullptr && parent->has(processes::process_unfreezable)) {
        child.flags |= processes::process_unfreezable;
        return;
    }
    if (!frozen_.empty() && is_to_stand_still(child)) {
        (void)!processes::freeze_process(child, census_.files(), census_.signals()).has_value();
    }
}

void Freezing::moved(Process& process) {
    if (process.has(processes::process_frozen) && !is_to_stand_still(process)) {
        processes::thaw_process(process, census_.signals());
    } else if (!frozen_.empty() && !process.has(processes::process_frozen) && is_to_stand_still(process)) {
        (void)!processes::freeze_process(process, census_.files(), census_.signals()).has_value();
    }
}

void Freezing::stop_again(Process& process) {
    if (runs(process.id())) {
        process.flags &= ~static_cast<std::uint32_t>(processes::process_was_stopped);
        (void)!processes::freeze_process(process, census_.files(), census_.signals()).has_value();
    }
}

void Freezing::seen_running(Process& process) {
    if (process.has(processes::process_frozen)) {
        stop_again(process);
    }
}

void Freezing::let_go(GroupId unit_group) {
    if (frozen_.contains(unit_group)) {
        (void)thaw(unit_group).has_value();
    }
    census_.table().for_each_member_below(unit_group, [&](Process& process) {
        process.flags |= processes::process_unfreezable;
        processes::thaw_process(process, census_.signals());
    });
}

void Freezing::check() {
    std::vector<base::ProcessId> members;
    for (const GroupId group : frozen_) {
        const auto more =
            processes::members_below(census_.table(), group, processes::process_unfreezable, {getpid()});
        members.insert(members.end(), more.begin(), more.end());
    }
    const std::size_t count = std::min(members.size(), checked_at_once);
    for (std::size_t looked = 0; looked < count; ++looked) {
        check_from_ = check_from_ >= members.size() ? 0 : check_from_;
        if (Process* process = census_.table().find(members[check_from_++])) {
            stop_again(*process);
        }
    }
    if (!unreached_.empty() && changed_) {
        changed_();  // nothing tells of a survivor that stands still at last
    }
    arm_check();
}

void Freezing::arm_check() {
    loop_.arm(check_timer_, frozen_.empty() ? 0 : monotonic_now_ns() + check_interval_ns);
}

void Freezing::groups_changed() {
    for (auto at = frozen_.begin(); at != frozen_.end();) {
        if (forest_.group(*at) != nullptr) {
            ++at;
            continue;
        }
        chronicle_.erase("", key_of(*at));
        unreached_.erase(*at);
        at = frozen_.erase(at);
    }
}

}  // namespace gpcsup::supervisor
