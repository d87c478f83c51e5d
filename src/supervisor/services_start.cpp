// Services: from an action to a process, and what came of it.

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>

#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstring>

#include "launch/spawn.h"
#include "supervisor/error_text.h"
#include "supervisor/service_environment.h"
#include "supervisor/services.h"
#include "sys/pidfd.h"

namespace gpcsup::supervisor {

namespace {

// `user` and `group` may be numbers: a user's name and groups are looked up by it.
std::optional<std::uint32_t> as_number(std::string_view name) {
    std::uint32_t id = 0;
    const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), id);
    return error == std::errc() && end == name.data() + name.size() ? std::optional(id) : std::nullopt;
}

// A limit of open files is what people meet first: say what it is.
std::string explain(const base::Error& error) {
    if (error.code == EMFILE || error.code == ENFILE) {
        return error.message() +
               "; gpcsup has no descriptors left: raise the limit of open files (ulimit -n, LimitNOFILE)";
    }
    return error.message();
}

// Whose name it was: gpc-exec says ESRCH for a user that is not there, ENOENT for a group; a user without a
// group brings his own groups.
std::string account_failed(const units::Declaration& declaration, const launch::StartFailure& failure) {
    const bool has_group = !declaration.group.empty();
    if (failure.step == wire::ExecStep::names && failure.error == ESRCH) {
        return "user " + *declaration.user + ": there is no such user";
    }
    if (failure.step == wire::ExecStep::names && failure.error == ENOENT && has_group) {
        return "group " + *declaration.group + ": there is no such group";
    }
    const bool is_group = has_group && (failure.step == wire::ExecStep::groups || declaration.user.empty());
    return (is_group ? "group " + *declaration.group : "user " + *declaration.user) + ": " +
           error_text(failure.error);
}

// The step of gpc-exec in the words of the declaration, where it is still there.
std::string what_failed(const units::Declaration* declaration, const launch::StartFailure& failure) {
    std::string what(launch::step_name(failure.step));
    if (declaration != nullptr) {
        const bool has_account = !declaration->user.empty() || !declaration->group.empty();
        switch (failure.step) {
            case wire::ExecStep::execute:
                what = "execute " + declaration->command.front();
                break;
            case wire::ExecStep::directory:
                what = "directory " + *declaration->directory;
                break;
            case wire::ExecStep::names:
                return account_failed(*declaration, failure);
            case wire::ExecStep::groups:
            case wire::ExecStep::user:
                if (has_account) {
                    return account_failed(*declaration, failure);
                }
                break;
            default:
                break;
        }
    }
    return what + ": " + error_text(failure.error);
}

}  // namespace

// Enough numbers must be left to signal and to stop what runs: a start that would take them is refused.
base::Result<> Services::check_headroom() const {
    constexpr int kept_free = 16;
    const base::Fd lowest(fcntl(parts_.keeper.descriptor(), F_DUPFD_CLOEXEC, 0));
    if (!lowest || static_cast<rlim_t>(lowest.get()) + kept_free >= descriptor_limit_.rlim_max) {
        return base::fail(EMFILE, "find descriptors for", "another service");
    }
    return {};
}

void Services::start(const std::string& unit) {
    Live& live = live_[unit];
    live.exec_failure.reset();
    if (auto room = check_headroom(); !room) {
        return fail_start(unit, room.error());
    }
    const std::uint64_t intent = parts_.chronicle.next_sequence();
    auto slot = slots_->acquire(intent);
    if (!slot) {
        return fail_start(unit, slot.error());
    }
    if (const auto group = parts_.placing.group_of(unit)) {
        parts_.kills.end(*group);  // it was meant for those who were there before
    }
    parts_.engine.set_intent(unit, intent);
    write_changed();  // the intent is written down before anything is started
    const units::Declaration& declaration = *parts_.engine.declaration(unit);
    auto process = launch(declaration, declaration.command, Role::main, *slot, intent);
    if (!process) {
        slots_->release(*slot);
        live.slot.reset();
        return fail_start(unit, process.error());
    }
    parts_.engine.process_started(unit, *process, now());
}

void Services::fail_start(const std::string& unit, const base::Error& error) {
    auto& failure = live_[unit].exec_failure;  // what is known better already: there is no such program
    failure = failure.value_or(ExecFailure{"prepare", error.code});
    parts_.engine.exec_failed(unit, explain(error), now());
}

// What a filter traps is fixed when it is set: a stop or reload command has one of its own, which says
// nothing about the main process's.
base::Result<> Services::set_filter(const units::Declaration& unit, const grouping::Places& places, Role role,
                                    std::uint64_t intent, launch::LaunchRequest& request) {
    Live& live = live_[unit.name];
    auto classes = parts_.controllers.traps(places, *unit.enforce);
    if (!classes) {
        return base::pass(classes);
    }
    if (!classes->empty()) {
        auto filtered = parts_.enforcer.prepare(intent, *classes, places);
        if (!filtered) {
            return base::pass(filtered);
        }
        request.filter = filtered->filter;
        request.listener_key = filtered->key;
        request.handover = handover_.get();
    }
    const std::uint64_t domain = classes->empty() ? 0 : intent;
    if (role == Role::command) {
        live.command_domain = domain;
    } else {
        live.domain = domain;
        live.trapped = *unit.enforce;
        for (const controllers::Requirement& one : parts_.controllers.required(places)) {
            live.trapped.emplace_back(one.controller);
        }
    }
    record_launch(unit.name, live);  // before there is a process that a successor would have to place
    return {};
}

base::Result<> Services::connect_streams(const units::Declaration& unit, Live& live,
                                         launch::LaunchRequest& request) {
    if (live.streams.output) {
        request.standard_input = live.streams.input.get();
        request.standard_output = live.streams.output.get();
        request.standard_error = live.streams.error.get();
        request.terminal = unit.terminal ? launch::Terminal::controlling : launch::Terminal::none;
        return {};
    }
    if (unit.terminal) {
        live.streams.input = base::Fd(::open("/dev/console", O_RDWR | O_CLOEXEC | O_NOCTTY));
        if (!live.streams.input) {
            return base::fail(errno, "open", "/dev/console", "`terminal = true` needs a console");
        }
        request.standard_input = request.standard_output = request.standard_error = live.streams.input.get();
        request.terminal = launch::Terminal::controlling;
        return {};
    }
    auto log = logs_.writer(unit.name);
    if (!log) {
        return base::pass(log);
    }
    if (std::exchange(log_helper_, LogHelper::asked) == LogHelper::not_asked) {
        if (auto asked = parts_.keeper.send(wire::KeepVerb::helper,
                                            static_cast<std::uint64_t>(wire::HelperKind::logd));
            !asked) {
            return asked;
        }
    }
    request.standard_output = request.standard_error = *log;
    return {};
}

// A launch that fails leaves nothing behind: no row for a filter, no group that nobody came to.
base::Result<base::ProcessId> Services::launch(const units::Declaration& unit,
                                               const std::vector<std::string>& command, Role role,
                                               launch::SlotId slot, std::uint64_t intent) {
    auto process = try_launch(unit, command, role, slot, intent);
    if (process) {
        return process;
    }
    Live& live = live_[unit.name];
    if (role == Role::command) {
        live.command_domain = 0;
    } else {
        live.domain = 0;
        live.trapped.clear();
    }
    record_launch(unit.name, live);
    if (slots_->pid(slot) == 0) {
        parts_.enforcer.drop(intent);
    } else {
        parts_.enforcer.ended(intent);  // there was a process: it may have come as far as its filter
    }
    if (role == Role::main) {
        parts_.placing.withdraw(unit);
    }
    return process;
}

base::Result<base::ProcessId> Services::try_launch(const units::Declaration& unit,
                                                   const std::vector<std::string>& command, Role role,
                                                   launch::SlotId slot, std::uint64_t intent) {
    Live& live = live_[unit.name];
    launch::LaunchRequest request;
    request.environment = service_environment(unit, parts_.here);
    auto executable = find_executable(command.front(), request.environment, *unit.directory);
    if (!executable) {
        if (role == Role::main) {
            live.exec_failure = ExecFailure{"execute", executable.error().code};
        }
        return base::pass(executable);
    }
    auto places = role == Role::main ? parts_.placing.prepare(unit, *executable)
                                     : base::Result<grouping::Places>(parts_.placing.existing(unit));
    if (!places) {
        return base::pass(places);
    }
    request.executable = *executable;
    request.arguments = command;
    request.directory = *unit.directory;
    if (const auto uid = as_number(*unit.user)) {
        request.uid = *uid;
    } else {
        request.user = *unit.user;
    }
    if (const auto gid = as_number(*unit.group)) {
        request.gid = *gid;
    } else {
        request.group = *unit.group;
    }
    request.names_helper = names_program_;
    request.nice = unit.nice.value_or(0);
    request.umask = unit.umask.value_or(wire::no_id);
    request.privileges =
        unit.no_new_privileges ? launch::Privileges::no_new : launch::Privileges::as_they_are;
    request.init_pid = parts_.here.init_pid;
    if (auto possible = parts_.controllers.can_start(*places); !possible) {
        return base::pass(possible);
    }
    const controllers::Birth birth = parts_.controllers.birth(*places);
    request.affinity = birth.affinity;
    request.memory_mode = static_cast<std::uint32_t>(birth.memory_mode);
    request.memory_nodes = birth.memory_nodes;
    request.limits.push_back(
        {RLIMIT_NOFILE, 0, descriptor_limit_.rlim_cur, descriptor_limit_.rlim_max});  // not ours, raised
    for (const auto& limit : birth.limits) {
        request.limits.push_back({static_cast<std::uint32_t>(limit.resource), 0, limit.soft, limit.hard});
    }
    if (auto connected = connect_streams(unit, live, request); !connected) {
        return base::pass(connected);
    }
    if (role == Role::main) {
        (void)mkdir((parts_.here.runtime + "/units").c_str(), 0755);
        (void)mkdir((parts_.here.runtime + "/units/" + unit.name).c_str(), 0755);
    }
    if (auto set = set_filter(unit, *places, role, intent, request); !set) {
        return base::pass(set);
    }
    auto spawned = launch::spawn({request, parts_.lane, *slots_, slot, exec_program_});
    if (!spawned) {
        return base::pass(spawned);
    }
    auto recorded = parts_.census.born(spawned->pid, parts_.forest.intern(*places));
    if (!recorded) {
        // It runs already, and nobody would know of it.
        (void)sys::send_signal(spawned->pidfd, SIGKILL);
        return base::pass(recorded);
    }
    if (processes::Process* process = parts_.census.table().find(*recorded)) {
        parts_.placing.mark(unit, *process);
    }
    if (role == Role::main) {
        live.slot = slot;
        live.status = std::move(spawned->status);
        auto watch = parts_.loop.on_readable(live.status.get(), EventLoop::Priority::processes,
                                             [this, name = unit.name] {
                                                 exec_settled(name);
                                                 settle();
                                             });
        if (watch) {
            live.status_watch = std::move(*watch);
        }
    }
    return recorded;
}

// The status pipe has ended, or the process has: either way gpc-exec is through.
void Services::exec_settled(const std::string& unit) {
    const auto found = live_.find(unit);
    if (found == live_.end() || !found->second.slot) {
        return;
    }
    Live& live = found->second;
    const auto failure = slots_->failure(*live.slot);
    slots_->release(*live.slot);
    live.slot.reset();
    live.status_watch = Watch();
    live.status.reset();
    live.streams = {};
    if (failure) {
        const units::Declaration* declaration = parts_.engine.declaration(unit);
        live.exec_failure = ExecFailure{std::string(launch::step_name(failure->step)), failure->error};
        const std::uint64_t domain = std::exchange(live.domain, 0);
        live.trapped.clear();
        record_launch(unit, live);
        parts_.enforcer.drop(domain);  // gpc-exec was alone in it, if it came that far
        parts_.engine.exec_failed(unit, what_failed(declaration, *failure), now());
    } else {
        if (live.domain == 0 && live.trapped.empty() && live.command.pid == 0) {
            live_.erase(found);  // most services need nothing more remembered
        }
        parts_.engine.exec_succeeded(unit, now());
    }
}

void Services::run_command(const std::string& unit, const std::vector<std::string>& command) {
    const units::ExitStatus failed{units::ExitKind::exited, 127};
    const std::uint64_t intent = parts_.chronicle.next_sequence();
    auto slot = slots_->acquire(intent);
    const units::Declaration* declaration = parts_.engine.declaration(unit);
    if (!slot || declaration == nullptr) {
        return parts_.engine.command_exited(unit, failed, now());
    }
    auto process = launch(*declaration, command, Role::command, *slot, intent);
    if (!process) {
        slots_->release(*slot);
        parts_.chronicle.note("command-failed", {{"unit", unit}, {"reason", process.error().message()}});
        return parts_.engine.command_exited(unit, failed, now());
    }
    Live& live = live_[unit];
    live.command = *process;
    if (const auto older = std::exchange(live.command_slot, *slot)) {
        slots_->release(*older);  // of a command that was given up on
    }
    record_launch(unit, live);
}

// It may have been killed before gpc-exec had a listener to hand over.
void Services::main_ended(const std::string& unit, base::ProcessId process) {
    const units::UnitState* state = parts_.engine.find(unit);
    const auto live = live_.find(unit);
    if (state != nullptr && state->main == process && live != live_.end()) {
        parts_.enforcer.ended(live->second.domain);
    }
}

// A successor believes what stands there: of a unit without a filter, nothing must.
void Services::record_launch(const std::string& unit, Live& live) {
    if (live.domain == 0 && live.command.pid == 0 && live.command_domain == 0) {
        if (std::exchange(live.recorded, Live::Recorded::no) == Live::Recorded::yes) {
            parts_.chronicle.erase("", "launch/" + unit);
        }
        return;
    }
    live.recorded = Live::Recorded::yes;
    parts_.chronicle.state("", "launch/" + unit,
                           {{"domain", live.domain},
                            {"trapped", live.trapped},
                            {"command_domain", live.command_domain},
                            {"command_pid", live.command.pid},
                            {"command_intent", live.command_slot ? slots_->intent(*live.command_slot) : 0},
                            {"command_start", live.command.start_time}});
}

base::Result<> Services::start_transient(units::Declaration declaration, RunStreams streams) {
    const std::string unit = declaration.name;
    Live& live = live_[unit];
    live.streams = std::move(streams);
    return parts_.engine.start_transient(std::move(declaration), now());
}

// --- enforcement
// -----------------------------------------------------------------------------------------------------------

bool Services::is_filtered(const processes::Process& process) const {
    const auto live = live_.find(unit_of(process));
    return live != live_.end() && live->second.domain != 0;
}

Json Services::enforcement_of(const processes::Process& process) {
    Json shown = Json::object();
    const auto live = live_.find(unit_of(process));
    const std::vector<std::string> unfiltered;
    const auto& trapped = live == live_.end() || live->second.domain == 0 ? unfiltered : live->second.trapped;
    for (const controllers::Requirement& one :
         parts_.controllers.required(parts_.census.table().places(process))) {
        if (std::find(trapped.begin(), trapped.end(), one.controller) != trapped.end()) {
            shown[std::string(one.controller)] = "enforced";
            continue;
        }
        const auto later = later_ != nullptr ? later_->word(process, one.controller) : std::nullopt;
        shown[std::string(one.controller)] = later.value_or(
            "observed: it was started before the limit, without a filter for it; restart it to enforce");
    }
    for (const auto& [controller, reason] : parts_.controllers.shortfalls(process)) {
        shown[std::string(controller)] = "observed: " + reason;
    }
    return shown;
}

// That of the main process; where another member's is less, that one's.
Json Services::enforcement_of(std::string_view unit) {
    const units::UnitState* state = parts_.engine.find(unit);
    const processes::Process* main =
        state != nullptr && state->main.pid > 0 ? parts_.census.table().find(state->main) : nullptr;
    if (main == nullptr) {
        return Json::object();
    }
    Json shown = enforcement_of(*main);
    const auto group = parts_.placing.group_of(unit);
    if (shown.empty() || !group || is_filtered(*main)) {
        return shown;
    }
    parts_.census.table().for_each_member_below(*group, [&](const processes::Process& member) {
        if (member.id() == main->id() || member.has(processes::process_dead)) {
            return;
        }
        const Json words = enforcement_of(member);
        for (const auto& [controller, word] : words.items()) {
            if (shown.value(controller, "") == "enforced" && word != "enforced") {
                shown[controller] =
                    fmt::format("observed: process {}{}", member.pid,
                                word.get<std::string>().substr(std::string_view("observed").size()));
            }
        }
    });
    return shown;
}

}  // namespace gpcsup::supervisor
