#include "supervisor/attach_request.h"

#include <algorithm>
#include <charconv>

#include "base/suggestion.h"
#include "control/error_names.h"
#include "units/names.h"

namespace gpcsup::supervisor {

using grouping::GroupId;

namespace {

constexpr std::size_t most_lines = 1000;  // of the sentence for people; JSON has them all

bool is_number(std::string_view word) {
    return !word.empty() &&
           std::all_of(word.begin(), word.end(), [](char digit) { return digit >= '0' && digit <= '9'; });
}

base::Error error(int code, std::string text, std::string hint = {}) {
    return {code, std::move(text), {}, std::move(hint)};
}

base::Error gone() {
    return error(ESRCH, "there is no such process");
}

// The process whose thread this is; 0 when it is a process itself or not there.
pid_t process_of_thread(sys::ProcFiles& files, pid_t thread) {
    const auto status = files.status(thread);
    const pid_t process = status ? sys::process_of(*status) : 0;
    return process == thread ? 0 : process;
}

// kthreadd and its children, in the initial pid namespace: elsewhere they have no number.
bool is_kernel_thread(sys::ProcFiles& files, const sys::ProcStat& stat) {
    const auto second = stat.pid == 2 ? base::Result<sys::ProcStat>(stat) : files.stat(2);
    return second && second->parent == 0 && second->name == "kthreadd" && (stat.pid == 2 || stat.parent == 2);
}

// A process that was named and is not there is "not found"; that a unit has none is its state.
int code_of(const RefusedItem& item) {
    const bool named = item.kind == ItemKind::process || item.kind == ItemKind::thread;
    return item.error.code == ESRCH && named ? ENOENT : item.error.code;
}

std::string line_of(const RefusedItem& item) {
    return (item.name.empty() ? "" : item.name + ": ") + item.error.message();
}

}  // namespace

// --- reading
// ---------------------------------------------------------------------------------------------------------------

void AttachRequest::read(std::span<const std::string> what, std::span<const std::string> groups,
                         std::string_view scope) {
    std::ranges::for_each(groups, [this](const std::string& name) { read_group(name); });
    for (const std::string& word : what) {
        if (scope == "thread") {
            read_thread(word);
        } else {
            read_word(word, scope);
        }
    }
    auto& list = placement_.processes;
    std::sort(list.begin(), list.end());
    list.erase(std::unique(list.begin(), list.end()), list.end());
    auto& threads = placement_.threads;
    std::sort(threads.begin(), threads.end());
    threads.erase(std::unique(threads.begin(), threads.end()), threads.end());
}

void AttachRequest::read_group(const std::string& name) {
    auto group = from_.forest.resolve(name);
    if (!group) {
        refused_.push_back({ItemKind::group, name, {}, name, std::move(group.error())});
        return;
    }
    if (from_.forest.group(*group)->hierarchy == Placing::unit_hierarchy) {
        refused_.push_back(
            {ItemKind::group,
             name,
             {},
             name,
             error(EINVAL, "the hierarchy `unit` says which unit owns a process and is not attached to",
                   "a process is a unit's when the unit started it")});
        return;
    }
    placement_.groups.push_back(*group);
}

void AttachRequest::read_word(const std::string& word, std::string_view scope) {
    if (!is_number(word)) {
        return read_unit(word);
    }
    auto process = find(word);
    if (!process) {
        refused_.push_back({ItemKind::process, word, {}, target_names(), std::move(process.error())});
        return;
    }
    if ((*process)->has(processes::process_helper)) {
        refused_.push_back(
            {ItemKind::process, word, (*process)->id(), target_names(),
             base::refuse(EINVAL, "it is one of gpcsup's own programs, which stay where they are").error()});
        return;
    }
    named_.insert((*process)->id());
    placement_.processes.push_back((*process)->id());
    if (scope == "tree") {
        add_tree((*process)->id());
    }
}

void AttachRequest::read_thread(const std::string& word) {
    const auto refuse = [&](base::Error why) {
        refused_.push_back({ItemKind::thread, word, {}, target_names(), std::move(why)});
    };
    pid_t tid = 0;
    if (!is_number(word)) {
        return refuse(error(EINVAL, "not a thread's number", "they are listed in /proc/PID/task"));
    }
    if (std::from_chars(word.data(), word.data() + word.size(), tid).ec != std::errc{}) {
        return refuse(error(ESRCH, "there is no such thread"));
    }
    const auto thread = sys::identify_thread(from_.census.files(), tid);
    if (!thread) {
        return refuse(error(ESRCH, "there is no such thread"));
    }
    const processes::Process* process = find(thread->process.pid);
    if (process == nullptr) {
        return refuse(not_tracked(thread->process.pid));
    }
    if (process->has(processes::process_dead)) {
        return refuse(error(ESRCH, "its process has ended"));
    }
    if (process->has(processes::process_helper)) {
        return refuse(error(EINVAL, "it is of one of gpcsup's own programs, which stay where they are"));
    }
    placement_.threads.push_back(*thread);
}

void AttachRequest::read_unit(const std::string& name) {
    const auto refuse = [&](base::Error why) {
        refused_.push_back({ItemKind::unit, name, {}, target_names(), std::move(why)});
    };
    if (from_.engine.find(name) == nullptr) {
        const bool number_meant = name.empty() || (name[0] >= '0' && name[0] <= '9');
        if (number_meant || !units::check_unit_name(name)) {
            return refuse(error(EINVAL, "neither a process's number nor a unit's name"));
        }
        const auto names = from_.engine.names();
        const auto near = base::nearest(name, names);
        return refuse(error(ENOENT, "there is no unit " + name,
                            near ? "did you mean " + std::string(*near) + "?" : "`gpcsup list` shows them"));
    }
    const auto group = from_.placing.group_of(name);
    if (!group || from_.forest.group(*group)->processes_below() == 0) {
        return refuse(error(ESRCH, name + " has no processes"));
    }
    from_.census.table().for_each_member_below(
        *group, [this](processes::Process& process) { placement_.processes.push_back(process.id()); });
}

base::Result<processes::Process*> AttachRequest::find(const std::string& text) {
    pid_t pid = 0;
    const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), pid);
    if (problem != std::errc{}) {
        return std::unexpected(gone());  // beyond what a process can have
    }
    processes::Process* process = find(pid);
    if (process == nullptr) {
        return std::unexpected(not_tracked(pid));
    }
    if (process->has(processes::process_dead)) {
        return std::unexpected(error(ESRCH, "it has ended"));
    }
    return process;
}

// A sweep may not have come to it yet.
processes::Process* AttachRequest::find(pid_t pid) {
    if (processes::Process* known = from_.census.table().find(pid)) {
        return known;
    }
    from_.census.look_for(pid);
    return from_.census.table().find(pid);
}

base::Error AttachRequest::not_tracked(pid_t pid) const {
    if (pid == 0) {
        return error(EINVAL, "0 is no process",
                     "a shell moves itself with `gpcsup attach $$ HIERARCHY:PATH`");
    }
    if (pid == from_.init_pid) {
        return error(EINVAL, "it is gpc-init itself, which is above all groups");
    }
    sys::ProcFiles& files = from_.census.files();
    const auto stat = files.stat(pid);
    if (!stat) {
        return gone();
    }
    if (stat->ended()) {
        return error(ESRCH, "it has ended");
    }
    if (is_kernel_thread(files, *stat)) {
        return error(EINVAL, "it is a thread of the kernel");
    }
    if (const pid_t process = process_of_thread(files, pid); process != 0) {
        return error(EINVAL, "it is a thread of process " + std::to_string(process),
                     "processes are moved with all their threads: attach " + std::to_string(process));
    }
    return error(EINVAL, "it does not descend from this gpc-init and cannot be tracked",
                 "start it with `gpcsup run` or as a unit");
}

void AttachRequest::add_tree(base::ProcessId top) {
    from_.census.look_below(top.pid);
    std::vector<base::ProcessId> list{top};
    for (std::size_t at = list.size() - 1; at < list.size(); ++at) {
        from_.census.table().for_each_child(list[at].pid, [&](processes::Process& child) {
            if (!child.has(processes::process_dead)) {
                list.push_back(child.id());
            }
        });
    }
    placement_.processes.insert(placement_.processes.end(), list.begin() + 1, list.end());
}

std::string AttachRequest::target_names() const {
    std::string names;
    for (const GroupId group : placement_.groups) {
        names += (names.empty() ? "" : " ") + from_.forest.full_path(group);
    }
    return names;
}

// --- judging
// ---------------------------------------------------------------------------------------------------------------

void AttachRequest::judge(const control::Caller& caller) {
    std::vector<base::ProcessId> ended;
    for (const base::ProcessId id : placement_.processes) {
        const auto refusal = judge_process(caller, id);
        if (!refusal) {
            continue;
        }
        if (refusal->error.code == ESRCH && !named_.contains(id)) {
            ended.push_back(id);
        } else {
            refused_.push_back(*refusal);
        }
    }
    leave_out(ended);
    judge_threads(caller);
}

std::optional<RefusedItem> AttachRequest::judge_process(const control::Caller& caller,
                                                        base::ProcessId id) const {
    const processes::Process* process = from_.census.table().find(id);
    for (const GroupId group : placement_.groups) {
        auto allowed = process == nullptr ? std::unexpected(gone()) : check(caller, *process, group);
        if (!allowed) {  // one reason is enough for a process
            return RefusedItem{ItemKind::process, std::to_string(id.pid), id, from_.forest.full_path(group),
                               std::move(allowed.error())};
        }
    }
    return std::nullopt;
}

void AttachRequest::leave_out(const std::vector<base::ProcessId>& ended) {
    auto& list = placement_.processes;
    std::erase_if(list, [&](base::ProcessId id) { return std::ranges::find(ended, id) != ended.end(); });
    if (!ended.empty() && list.empty() && placement_.threads.empty() && refused_.empty()) {
        refused_.push_back({ItemKind::all, "", {}, target_names(), error(ESRCH, "all of them have ended")});
    }
}

void AttachRequest::judge_threads(const control::Caller& caller) {
    if (auto room = from_.threads.check_room(placement_.threads); !room) {
        refused_.push_back({ItemKind::all, "", {}, target_names(), std::move(room.error())});
    }
    for (const base::ThreadId& thread : placement_.threads) {
        const processes::Process* process = from_.census.table().find(thread.process);
        for (const GroupId group : placement_.groups) {
            auto allowed = process == nullptr
                               ? std::unexpected(gone())
                               : rights_.check(caller, *process, {group, source_of(thread, *process, group)});
            if (!allowed) {
                refused_.push_back({ItemKind::thread, std::to_string(thread.tid), thread.process,
                                    from_.forest.full_path(group), std::move(allowed.error()), thread});
                break;
            }
        }
    }
}

// Where the thread is now in the target's hierarchy.
GroupId AttachRequest::source_of(const base::ThreadId& thread, const processes::Process& process,
                                 GroupId target) const {
    const grouping::HierarchyId hierarchy = from_.forest.group(target)->hierarchy;
    const grouping::Places* own = from_.threads.find(thread);
    return own != nullptr && (*own)[hierarchy.value].value != 0
               ? (*own)[hierarchy.value]
               : from_.census.table().place(process, hierarchy);
}

// A process takes its threads home with it, from wherever they are.
base::Result<> AttachRequest::check(const control::Caller& caller, const processes::Process& process,
                                    GroupId target) const {
    const grouping::HierarchyId hierarchy = from_.forest.group(target)->hierarchy;
    auto allowed = rights_.check(caller, process, {target, from_.census.table().place(process, hierarchy)});
    for (const base::ThreadId& thread : from_.threads.of(process.id(), hierarchy)) {
        if (allowed) {
            allowed = rights_.check(caller, process, {target, source_of(thread, process, target)});
        }
    }
    return allowed;
}

void AttachRequest::refuse(const grouping::Refusal& refusal) {
    const bool named = refusal.group.value != 0;
    const std::string group = named ? from_.forest.full_path(refusal.group) : target_names();
    if (refusal.thread) {
        refused_.push_back({ItemKind::thread, std::to_string(refusal.thread->tid), refusal.process, group,
                            refusal.error, refusal.thread});
    } else if (refusal.process) {
        refused_.push_back(
            {ItemKind::process, std::to_string(refusal.process->pid), refusal.process, group, refusal.error});
    } else {
        refused_.push_back(
            {named ? ItemKind::group : ItemKind::all, named ? group : "", {}, group, refusal.error});
    }
}

base::Error summary(std::span<const RefusedItem> refused) {
    base::Error whole{code_of(refused.front()), line_of(refused.front()), {}, {}};
    if (refused.size() == 1) {
        return whole;
    }
    whole.tried = "nothing was moved, " + std::to_string(refused.size()) + " items are refused:";
    for (const RefusedItem& item : refused.first(std::min(refused.size(), most_lines))) {
        whole.tried += "\n" + line_of(item);
        if (control::error_name(code_of(item)).name != control::error_name(whole.code).name) {
            whole.code = EIO;
        }
    }
    if (refused.size() > most_lines) {
        whole.tried += "\nand " + std::to_string(refused.size() - most_lines) + " more";
    }
    return whole;
}

Json to_json(const RefusedItem& item) {
    Json json = Json::object();
    if (item.kind == ItemKind::unit) {
        json["unit"] = item.name;
    } else if (item.kind == ItemKind::process && item.process) {
        json["pid"] = item.process->pid;
    } else if (item.kind == ItemKind::process || item.kind == ItemKind::thread) {
        pid_t number = 0;
        const auto read = std::from_chars(item.name.data(), item.name.data() + item.name.size(), number);
        const bool whole = read.ec == std::errc{} && read.ptr == item.name.data() + item.name.size();
        json[item.kind == ItemKind::process ? "pid" : "tid"] = whole ? Json(number) : Json(item.name);
    }
    if (item.thread) {
        json["pid"] = item.thread->process.pid;
    }
    json["group"] = item.group.empty() ? Json() : Json(item.group);
    json["error"] = item.error.message();
    json["errno"] = item.error.code;
    return json;
}

}  // namespace gpcsup::supervisor
