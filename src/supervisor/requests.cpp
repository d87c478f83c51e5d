#include "supervisor/requests.h"

#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <csignal>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/suggestion.h"
#include "supervisor/records.h"
#include "supervisor/run_request.h"
#include "sys/memory.h"
#include "units/names.h"

namespace gpcsup::supervisor {

using control::Caller;
using grouping::GroupId;

namespace {

units::TimePoint now() {
    return units::TimePoint(std::chrono::nanoseconds(monotonic_now_ns()));
}

constexpr std::size_t large_answer = 100'000;  // bytes
constexpr std::uint64_t ownerless_grace_ns =
    5'000'000'000;  // for the client of a `run` to come back after a replacement

}  // namespace

bool Requests::is_privileged(const Caller& caller) {
    return caller.uid == 0 || caller.uid == geteuid();
}

// Changing is for root and for the user whose supervisor this is.
base::Result<> Requests::may_change(const Caller& caller, Text what) {
    if (is_privileged(caller)) {
        return {};
    }
    return base::refuse(EACCES, "only root and the supervisor's own user may " + std::string(what));
}

base::Result<> Requests::known(Names units) const {
    for (const std::string& name : units) {
        if (own_.engine_->find(name) == nullptr) {
            const auto names = own_.engine_->names();
            const auto near = base::nearest(name, names);
            return base::refuse(
                ENOENT, "there is no unit " + name,
                near ? "did you mean " + std::string(*near) + "?" : "`gpcsup list` shows them");
        }
    }
    return {};
}

base::Result<std::string> Requests::status(const Caller& caller, Names units, Text detail) {
    if (auto found = known(units); !found) {
        return base::pass(found);
    }
    if (!detail.empty() && detail != "plain" && detail != "settings" && detail != "list") {
        return base::refuse(EINVAL, "status in which detail? \"plain\", \"settings\" or \"list\"");
    }
    auto answer = own_.views_->status(caller, units, detail);
    if (answer && answer->size() > large_answer) {
        sys::give_back_memory();  // what a thousand units took to describe is not kept
    }
    return answer;
}

// --- jobs
// ------------------------------------------------------------------------------------------------------------------

base::Result<std::uint64_t> Requests::job(const Caller& caller, control::JobKind kind, Names units,
                                          std::uint64_t token) {
    constexpr std::string_view verbs[] = {"start units", "stop units", "restart units", "reload units"};
    if (auto allowed = may_change(caller, verbs[static_cast<unsigned>(kind)]); !allowed) {
        return base::pass(allowed);
    }
    if (units.empty()) {
        return base::refuse(EINVAL, "which unit?");
    }
    if (auto found = known(units); !found) {
        return base::pass(found);
    }
    constexpr JobGoal goals[] = {JobGoal::started, JobGoal::stopped, JobGoal::started, JobGoal::reloaded};
    const auto opened = own_.jobs_->open(goals[static_cast<unsigned>(kind)], units, token);
    if (opened.novelty == Jobs::Opened::Novelty::known) {
        return opened.number;
    }
    using Wish = base::Result<> (units::Engine::*)(std::string_view, units::TimePoint);
    constexpr Wish wishes[] = {&units::Engine::wish_start, &units::Engine::wish_stop,
                               &units::Engine::wish_restart, &units::Engine::wish_reload};
    for (const std::string& unit : units) {
        if (auto wished = (own_.engine_.get()->*wishes[static_cast<unsigned>(kind)])(unit, now()); !wished) {
            own_.jobs_->fail(opened.number, unit, wished.error());
        }
    }
    own_.services_->settle();
    return opened.number;
}

void Requests::wait(const Caller& caller, std::uint64_t job, std::uint64_t timeout_us, control::Reply reply) {
    for (const std::string& unit : own_.jobs_->units(job)) {
        if (const auto ownerless = ownerless_.find(unit);
            ownerless != ownerless_.end() && caller.uid == ownerless->second) {
            owned_[caller.connection].push_back(unit);
            ownerless_.erase(ownerless);
        }
    }
    const std::uint64_t deadline = timeout_us == 0 ? 0 : monotonic_now_ns() + timeout_us * 1000;
    own_.jobs_->wait({job, deadline, caller.connection}, std::move(reply));
    own_.services_->settle();  // arms the timer for this deadline
}

base::Result<std::pair<std::string, std::uint64_t>> Requests::run(const Caller& caller, Text text,
                                                                  control::Streams streams) {
    if (auto allowed = may_change(caller, "run commands here"); !allowed) {
        return base::pass(allowed);
    }
    auto request = parse_run_request(text);
    if (!request) {
        return base::pass(request);
    }
    if (const auto known = own_.jobs_->find(request->token)) {
        return started_before(caller, *known, request->client);
    }
    units::Declaration& unit = request->declaration;
    if (unit.name.empty()) {
        unit.name = "run-" + std::to_string(own_.chronicle_->next_sequence());
    }
    if (own_.engine_->find(unit.name) != nullptr) {
        return base::refuse(EBUSY, "there is a unit " + unit.name + " already", "choose another --name");
    }
    if (auto there = own_.placing_->check_places(unit); !there) {
        return base::pass(there);
    }
    const std::string name = unit.name;
    const bool attached = request->client == RunRequest::Client::attached;
    own_.chronicle_->state("", "transient/" + name, supervisor::Json::parse(text));
    own_.chronicle_->state("", "owner/" + name, {{"uid", caller.uid}, {"attached", attached}});
    const std::string units[] = {name};
    const auto opened = own_.jobs_->open(attached ? JobGoal::ended : JobGoal::started, units, request->token);
    RunStreams passed;
    if (attached) {
        passed = {std::move(streams.input), std::move(streams.output), std::move(streams.error)};
    }
    if (auto started = own_.services_->start_transient(std::move(unit), std::move(passed)); !started) {
        own_.chronicle_->erase("", "transient/" + name);
        return base::pass(started);
    }
    if (attached) {
        owned_[caller.connection].push_back(name);
    }
    own_.services_->settle();
    return std::pair(name, opened.number);
}

// The same request once more: its first answer got lost with the connection. The unit is this one's now.
base::Result<std::pair<std::string, std::uint64_t>> Requests::started_before(const Caller& caller,
                                                                             std::uint64_t job,
                                                                             RunRequest::Client client) {
    const auto units = own_.jobs_->units(job);
    if (units.size() != 1) {
        return base::refuse(EINVAL, "this token is another request's");
    }
    const std::string& unit = units.front();
    if (client == RunRequest::Client::attached) {
        for (auto& [connection, owned] : owned_) {
            std::erase(owned, unit);
        }
        ownerless_.erase(unit);
        owned_[caller.connection].push_back(unit);
    }
    return std::pair(unit, job);
}

// The client of a `run` has gone: its unit goes, too.
void Requests::disconnected(std::uint64_t connection) {
    own_.jobs_->disconnected(connection);
    own_.kills_->disconnected(connection);
    own_.freezing_->disconnected(connection);
    own_.group_waits_->disconnected(connection);
    own_.removals_->drop(connection);
    const auto owned = owned_.extract(connection);
    if (owned.empty()) {
        return;
    }
    for (const std::string& unit : owned.mapped()) {
        (void)own_.engine_->wish_stop(unit, now());  // ENOENT: it has ended already
    }
    own_.services_->settle();
}

void Requests::adopt_owners(const journal::States& states) {
    each_record(states, "owner/", *own_.chronicle_,
                [this](const std::string& unit, const supervisor::Json& body) {
                    if (own_.engine_->find(unit) == nullptr) {
                        own_.chronicle_->erase("", "owner/" + unit);
                    } else if (body.value("attached", false)) {
                        ownerless_[unit] = body.value("uid", uid_t{0});
                    }
                });
    if (ownerless_.empty()) {
        return;
    }
    auto timer = own_.loop_->on_time(EventLoop::Priority::clients, [this] {
        for (const auto& [unit, uid] : std::exchange(ownerless_, {})) {
            (void)own_.engine_->wish_stop(unit, now());
        }
        own_.services_->settle();
    });
    if (timer) {
        ownerless_timer_ = std::move(*timer);
        own_.loop_->arm(ownerless_timer_, monotonic_now_ns() + ownerless_grace_ns);
    }
}

// --- signals
// ---------------------------------------------------------------------------------------------------------------

base::Result<std::uint32_t> Requests::kill(const Caller& caller, Text what, int signal, Text whom) {
    if (signal < 1 || signal > SIGRTMAX) {
        return base::refuse(EINVAL, "there is no signal " + std::to_string(signal));
    }
    own_.census_->take_news();
    if (whom == "main" && what.find(':') == Text::npos) {
        const std::string unit[] = {std::string(what)};
        if (auto found = known(unit); !found) {
            return base::pass(found);
        }
        if (auto allowed = may_change(caller, "send signals"); !allowed) {
            return base::pass(allowed);
        }
        auto sent = own_.services_->signal_main(what, signal);
        return sent ? base::Result<std::uint32_t>(1) : base::pass(sent);
    }
    auto group = group_named(what);
    if (!group) {
        return base::pass(group);
    }
    if (auto allowed = may_manage(caller, *group, grouping::Manage::signal); !allowed) {
        return base::pass(allowed);
    }
    const grouping::Group* known_group = own_.forest_.group(*group);
    if (known_group == nullptr || known_group->processes_below() == 0) {
        return base::refuse(ESRCH, std::string(what) + " has no processes");
    }
    const std::uint32_t count = known_group->processes_below();
    if (signal == SIGKILL) {
        own_.kills_->start(*group, std::chrono::seconds(9));
        return count;
    }
    return own_.services_->signal_group(*group, signal);
}

// --- ending
// ----------------------------------------------------------------------------------------------------------------

void Requests::stop_everything(wire::StopHow how) {
    if (own_.ending_) {
        return;
    }
    own_.ending_ = how;
    own_.write_started("stopping");
    own_.engine_->stop_all(now());
    own_.services_->settle();
}

base::Result<> Requests::shutdown(const Caller& caller, Text how) {
    if (auto allowed = may_change(caller, "stop the supervisor"); !allowed) {
        return allowed;
    }
    const bool machine = own_.here_.mode == Mode::init;
    if (how == "exit") {
        if (machine) {
            return base::refuse(EINVAL, "gpc-init is PID 1 here and cannot exit",
                                "use `gpcsup poweroff`, `reboot` or `halt`");
        }
        stop_everything(wire::StopHow::exit);
        return {};
    }
    const auto kind = how == "poweroff" ? wire::StopHow::poweroff
                      : how == "reboot" ? wire::StopHow::reboot
                      : how == "halt"   ? wire::StopHow::halt
                                        : wire::StopHow::exit;
    if (kind == wire::StopHow::exit) {
        return base::refuse(EINVAL, "there is no way to end called " + std::string(how));
    }
    if (!machine) {
        return base::refuse(EINVAL,
                            "this gpc-init is not PID 1 and cannot " + std::string(how) + " the machine",
                            "use `gpcsup exit` to stop all services and end");
    }
    stop_everything(kind);
    return {};
}

base::Result<> Requests::reexec(const Caller& caller) {
    if (auto allowed = may_change(caller, "replace the supervisor"); !allowed) {
        return allowed;
    }
    if (auto asked = own_.keeper_.send(wire::KeepVerb::reexec); !asked) {
        return asked;
    }
    own_.loop_->stop();  // gpc-init starts the new gpcsupd, which replays
    return {};
}

// --- objects
// ---------------------------------------------------------------------------------------------------------------

std::pair<std::uint32_t, std::uint32_t> Requests::pids() {
    return {static_cast<std::uint32_t>(getpid()), static_cast<std::uint32_t>(own_.here_.init_pid)};
}

std::vector<std::string> Requests::unit_names() {
    std::vector<std::string> names;
    for (const std::string_view name : own_.engine_->names()) {
        names.emplace_back(name);
    }
    return names;
}

base::Result<control::Handler::Properties> Requests::unit_properties(Text name) {
    const std::string unit[] = {std::string(name)};
    if (auto found = known(unit); !found) {
        return base::pass(found);
    }
    const units::UnitState& state = *own_.engine_->find(name);
    const units::Declaration& declaration = *own_.engine_->declaration(name);
    return Properties{{"Name", state.name},
                      {"Description", declaration.description},
                      {"State", std::string(units::name_of(state.state))},
                      {"Reason", own_.engine_->reason(name)},
                      {"MainPid", state.main.pid > 0 ? std::to_string(state.main.pid) : ""},
                      {"Restarts", std::to_string(state.restarts)},
                      {"Type", std::string(units::name_of(declaration.type))},
                      {"Enabled", declaration.enabled && !declaration.masked ? "true" : "false"}};
}

std::vector<std::string> Requests::hierarchy_names() {
    std::vector<std::string> names;
    for (const grouping::Hierarchy* hierarchy : own_.forest_.hierarchies()) {
        names.push_back(hierarchy->name);
    }
    return names;
}

base::Result<control::Handler::Properties> Requests::hierarchy_properties(Text name) {
    auto found = hierarchy_named(name);
    if (!found) {
        return base::pass(found);
    }
    const grouping::Hierarchy& hierarchy = *own_.forest_.hierarchy(*found);
    const grouping::Group& root = *own_.forest_.group(hierarchy.root);
    return Properties{{"Name", hierarchy.name},
                      {"Controllers", fmt::format("{}", fmt::join(hierarchy.controllers, " "))},
                      {"Compat", std::string(grouping::name_of(hierarchy.compat))},
                      {"Groups", std::to_string(root.descendants + 1)},
                      {"Processes", std::to_string(root.processes_below())}};
}

std::vector<std::string> Requests::group_names() {
    std::vector<std::string> names;
    for (const grouping::Hierarchy* hierarchy : own_.forest_.hierarchies()) {
        own_.forest_.for_each_living_below(hierarchy->root, [&](const grouping::Group& group) {
            names.push_back(own_.forest_.full_path(group.id));
        });
    }
    return names;
}

base::Result<control::Handler::Properties> Requests::group_properties(Text name) {
    auto group = own_.forest_.resolve(name);
    if (!group) {
        return base::pass(group);
    }
    Properties properties{{"Path", own_.forest_.full_path(*group)}};
    for (const controllers::NamedValue& one : own_.controllers_->get_all(*group)) {
        properties.emplace_back(one.name, controllers::format_value(one.value));
    }
    return properties;
}

}  // namespace gpcsup::supervisor
