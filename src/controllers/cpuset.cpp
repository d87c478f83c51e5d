#include "controllers/cpuset.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <string>
#include <utility>

namespace gpcsup::controllers {

using base::CpuList;
using grouping::GroupId;

namespace {

constexpr std::array table{
    Attribute{"cpus", AttributeType::cpu_list, Access::read_write, "", "",
              "CPUs asked for, a part of the parent's; empty = the parent's", nullptr,
              Cloned::with_clone_children},
    Attribute{"effective_cpus", AttributeType::cpu_list, Access::read_only, "", "",
              "CPUs that the group's processes really run on: what was asked and is online"},
    Attribute{"cpu_exclusive", AttributeType::boolean, Access::read_write, "", "false",
              "Whether no sibling may have one of the group's CPUs; the parent must be exclusive, too"},
};

const Registration registration("cpuset", table, [](Host& host) -> std::unique_ptr<Controller> {
    return std::make_unique<Cpuset>(host);
});

CpuList list_of(const Value& value) {
    return base::parse_cpu_list(std::get<std::string>(value))
        .value_or(CpuList{});  // parse_value has seen it already
}

// "CPU 3", "CPUs 3-5": what of `cpus` is the matter.
std::string named(const CpuList& cpus) {
    return (cpus.count() == 1 ? "CPU " : "CPUs ") + cpus.format();
}

}  // namespace

std::span<const Attribute> Cpuset::attributes() const {
    return table;
}

std::string Cpuset::path(GroupId group) const {
    return host_.forest().full_path(group);
}

Cpuset::State* Cpuset::find(GroupId group) {
    const auto found = states_.find(group);
    return found != states_.end() ? &found->second : nullptr;
}

CpuList Cpuset::allowed(GroupId group) const {
    for (auto at = states_.find(group); at != states_.end(); at = states_.find(at->second.parent)) {
        if (!at->second.asked.empty()) {
            return at->second.asked;
        }
        if (at->first == root_) {
            return at->second.effective;
        }
    }
    return {};
}

// Whether a process of this group could leave its CPUs: somebody asked for some on the way up, or a sibling
// took some.
bool Cpuset::restricted(GroupId group) const {
    const auto here = states_.find(group);
    if (here == states_.end()) {
        return false;
    }
    for (auto at = here; at != states_.end(); at = states_.find(at->second.parent)) {
        if (!at->second.asked.empty()) {
            return true;
        }
    }
    return here->second.effective != states_.at(root_).effective;
}

CpuList Cpuset::taken_below(const State& parent) const {
    CpuList taken;
    for (const GroupId child : parent.children) {
        const State& state = states_.at(child);
        if (state.exclusive) {
            taken = taken.unite(state.asked);
        }
    }
    return taken;
}

CpuList Cpuset::effective_of(const State& state, const State& parent, const CpuList& taken) {
    const CpuList wanted =
        state.asked.empty() ? parent.effective.subtract(taken) : state.asked.intersect(parent.effective);
    return wanted.empty() ? parent.effective : wanted;
}

base::Result<> Cpuset::create(GroupId group, GroupId parent) {
    State& state = states_[group];
    state = State{};
    state.parent = parent;
    if (State* above = find(parent)) {
        state.effective = effective_of(state, *above, taken_below(*above));
        above->children.push_back(group);
    } else {
        root_ = group;
        state.effective = host_.online_cpus();
        state.exclusive = true;  // as in the kernel: else nothing could be
    }
    return {};
}

void Cpuset::destroy(GroupId group) {
    State* state = find(group);
    if (state == nullptr) {
        return;
    }
    const bool gives_back = state->exclusive && !state->asked.empty();
    if (State* above = find(state->parent)) {
        std::erase(above->children, group);
    }
    states_.erase(group);
    if (gives_back) {
        static_cast<void>(
            recompute());  // wider masks for the siblings' members; one that fails keeps its narrower one
    }
}

base::Result<> Cpuset::check_parent(GroupId group, const State& state, const Wish& wish) const {
    const State& parent = states_.at(state.parent);
    const CpuList outside = wish.asked.subtract(allowed(state.parent));
    if (!outside.empty()) {
        const bool of_machine = state.parent == root_;
        return base::refuse(
            EACCES,
            "cpuset.cpus of " + path(group) + ": " + named(outside) +
                (outside.count() == 1 ? " is" : " are") + " not in its parent " + path(state.parent) + " (" +
                allowed(state.parent).format() + ")",
            of_machine ? "these are the CPUs online" : "a group's CPUs are a part of its parent's");
    }
    if (wish.exclusive && !parent.exclusive) {
        return base::refuse(EACCES,
                            "cpuset.cpu_exclusive of " + path(group) + ": its parent " + path(state.parent) +
                                " is not exclusive",
                            "set it there first");
    }
    return {};
}

// Children that asked for CPUs keep them; one that inherits passes the question on to its own children.
base::Result<> Cpuset::check_children(GroupId group, const CpuList& cpus) const {
    std::vector<GroupId> waiting = states_.at(group).children;
    while (!waiting.empty()) {
        const GroupId child = waiting.back();
        waiting.pop_back();
        const State& state = states_.at(child);
        const CpuList lost = state.asked.subtract(cpus);
        if (!lost.empty()) {
            return base::refuse(
                EBUSY, "cpuset.cpus of " + path(group) + ": " + path(child) + " still has " + named(lost),
                "change the groups below first");
        }
        if (state.asked.empty()) {
            waiting.insert(waiting.end(), state.children.begin(), state.children.end());
        }
    }
    return {};
}

base::Result<> Cpuset::check_exclusive(GroupId group, const State& state, const Wish& wish) const {
    for (const GroupId child : state.children) {
        if (!wish.exclusive && states_.at(child).exclusive) {
            return base::refuse(
                EBUSY,
                "cpuset.cpu_exclusive of " + path(group) + ": its child " + path(child) + " is exclusive",
                "change the groups below first");
        }
    }
    for (const GroupId sibling : states_.at(state.parent).children) {
        const State& other = states_.at(sibling);
        const CpuList shared = wish.asked.intersect(other.asked);
        if (sibling != group && (wish.exclusive || other.exclusive) && !shared.empty()) {
            const GroupId owner = wish.exclusive ? group : sibling;
            return base::refuse(EINVAL, "cpuset.cpus of " + path(group) + ": " + named(shared) +
                                            " would be shared with " + path(sibling) + ", and " +
                                            path(owner) + " is exclusive");
        }
    }
    return {};
}

base::Result<> Cpuset::can_change(GroupId group, std::span<const Change> changes) {
    const State* state = find(group);
    if (state == nullptr) {
        return base::refuse(ENOENT, "there is no such group");
    }
    Wish wish{state->asked, state->exclusive};
    for (const Change& change : changes) {
        if (group == root_) {
            return base::refuse(EACCES,
                                "cpuset." + std::string(change.attribute) + " of " + path(group) +
                                    " is the machine's and cannot be set",
                                "make a group below it");
        }
        if (change.attribute == "cpus") {
            wish.asked = list_of(change.value);
        } else if (change.attribute == "cpu_exclusive") {
            wish.exclusive = std::get<bool>(change.value);
        } else {
            return unknown(change.attribute);
        }
    }
    if (auto agreed = check_parent(group, *state, wish); !agreed) {
        return agreed;
    }
    const CpuList will_allow = wish.asked.empty() ? allowed(state->parent) : wish.asked;
    if (auto agreed = check_children(group, will_allow); !agreed) {
        return agreed;
    }
    return check_exclusive(group, *state, wish);
}

base::Result<> Cpuset::can_set(GroupId group, std::string_view attribute, const Value& value) {
    const Change change{attribute, value};
    return can_change(group, {&change, 1});
}

base::Result<> Cpuset::assign(GroupId group, std::string_view attribute, const Value& value) {
    State* state = find(group);
    if (state == nullptr || group == root_) {
        return unknown(attribute);
    }
    if (attribute == "cpus") {
        state->asked = list_of(value);
    } else if (attribute == "cpu_exclusive") {
        state->exclusive = std::get<bool>(value);
    } else {
        return unknown(attribute);
    }
    return {};
}

base::Result<> Cpuset::set(GroupId group, std::string_view attribute, const Value& value) {
    auto assigned = assign(group, attribute, value);
    return assigned ? recompute() : assigned;
}

// Members have their masks, narrower ones of their own among them. While settings come back one after another
// a group has its parent's CPUs for a moment: nobody may be given those.
base::Result<> Cpuset::restore(GroupId group, std::string_view attribute, const Value& value) {
    auto assigned = assign(group, attribute, value);
    if (assigned) {
        static_cast<void>(derive());
    }
    return assigned;
}

// A predecessor may have been killed between two members, and CPUs may have come or gone since.
void Cpuset::recover(GroupId group) {
    if (!restricted(group)) {
        return;
    }
    adapt_members(group, {});
}

base::Result<Value> Cpuset::get(GroupId group, std::string_view attribute) {
    const State* state = find(group);
    if (state != nullptr && attribute == "cpus") {
        return Value{group == root_ ? state->effective.format() : state->asked.format()};
    }
    if (state != nullptr && attribute == "effective_cpus") {
        return Value{state->effective.format()};
    }
    if (state != nullptr && attribute == "cpu_exclusive") {
        return Value{state->exclusive};
    }
    return unknown(attribute);
}

// The root shows what the machine has, and asks for nothing: a copy of that would be a mask of today's CPUs.
base::Result<Value> Cpuset::asked(GroupId group, std::string_view attribute) {
    return group == root_ && attribute == "cpus" ? Value{std::string()} : get(group, attribute);
}

// Brings `effective` up to date from the root down: the groups where it changed.
std::vector<Cpuset::Changed> Cpuset::derive() {
    std::vector<Changed> changed;
    std::vector<GroupId> waiting{root_};
    while (!waiting.empty()) {
        const GroupId at = waiting.back();
        waiting.pop_back();
        const State& parent = states_.at(at);
        const CpuList taken = taken_below(parent);
        for (const GroupId child : parent.children) {
            State& state = states_.at(child);
            CpuList effective = effective_of(state, parent, taken);
            if (effective != state.effective) {
                changed.push_back({child, std::exchange(state.effective, std::move(effective))});
            }
            waiting.push_back(child);
        }
    }
    return changed;
}

// And the members of those groups. Goes on after a failure, so that as many processes as possible are right;
// the first one is returned.
base::Result<> Cpuset::recompute() {
    base::Result<> first;
    for (const auto& [group, before] : derive()) {
        if (auto applied = apply_to_members(group); !applied && first) {
            first = std::move(applied);
        }
    }
    return first;
}

std::vector<base::ProcessId> Cpuset::members(GroupId group) {
    std::vector<base::ProcessId> found;
    host_.processes().for_each_member(group, [&](processes::Process& each) { found.push_back(each.id()); });
    return found;
}

Cpuset::Threads Cpuset::threads_apart(base::ProcessId process, GroupId group) {
    const grouping::Group* at = host_.forest().group(group);
    return host_.threads_apart().empty() || at == nullptr ? Threads{}
                                                          : host_.threads_apart().of(process, at->hierarchy);
}

base::Result<> Cpuset::apply_to_members(GroupId group) {
    base::Result<> first;
    const auto note = [&](base::Result<> applied) {
        if (!applied && applied.error().code != ESRCH && first) {
            first = std::move(applied);
        }
    };
    const CpuList& cpus = states_.at(group).effective;
    for (const base::ProcessId member : members(group)) {
        note(host_.set_affinity(member, cpus, threads_apart(member, group)));
    }
    for (const base::ThreadId& thread : host_.threads_apart().members(group)) {
        note(host_.set_affinity(thread, cpus));
    }
    return first;
}

// Who is gone, or whom the kernel's own cpuset forbids it, is left: status shows what holds.
void Cpuset::adapt_members(GroupId group, const CpuList& before) {
    const CpuList& cpus = states_.at(group).effective;
    for (const base::ProcessId member : members(group)) {
        static_cast<void>(host_.adapt_affinity(member, before, cpus, threads_apart(member, group)));
    }
    for (const base::ThreadId& thread : host_.threads_apart().members(group)) {
        const auto has = host_.affinity(thread);
        if (has && (!has->is_subset_of(cpus) || *has == before)) {
            static_cast<void>(host_.set_affinity(thread, cpus));
        }
    }
}

base::Result<> Cpuset::apply(const Move& move, const CpuList& cpus) {
    const base::ProcessId process = move.process->id();
    if (!move.thread) {
        moved_.insert(process);  // a child of this moment may be told of later, with the old mask
        return host_.set_affinity(process, cpus, threads_apart(process, move.to));
    }
    if (host_.processes().place(*move.process, host_.forest().group(move.to)->hierarchy) == move.to) {
        moved_.insert(process);  // it comes home, and a child of its own may have the mask of before
    }
    return host_.set_affinity(*move.thread, cpus);
}

base::Result<> Cpuset::attach(std::span<const Move> moves) {
    forget_old_moves();
    base::Result<> first;
    for (const Move& move : moves) {
        const State* state = find(move.to);
        if (state == nullptr ||
            (find(move.from) != nullptr && !restricted(move.from) && !restricted(move.to))) {
            continue;  // nobody has asked for anything: a mask that it chose itself stays
        }
        auto applied = apply(move, state->effective);
        if (!applied && applied.error().code != ESRCH && first) {
            first = std::move(applied);
        }
    }
    return first;
}

// Two generations, so that everybody is forgotten after one to two intervals without a look at each.
void Cpuset::forget_old_moves() {
    const auto now = host_.now();
    if (now - rotated_ < overtaken_for) {
        return;
    }
    moved_before_.clear();
    if (now - rotated_ < 2 * overtaken_for) {
        moved_before_.swap(moved_);
    } else {
        moved_.clear();
    }
    rotated_ = now;
}

bool Cpuset::moved_lately(const processes::Process& process) {
    if (moved_.empty() && moved_before_.empty()) {
        return false;
    }
    forget_old_moves();
    return moved_.contains(process.id()) || moved_before_.contains(process.id());
}

// A child has its parent's mask of the moment of the fork, which a move or a change of the group may have
// overtaken. One that is too wide shows; one that is too narrow may also be the child's own wish, except
// where its parent has just been moved.
void Cpuset::fork(const processes::Process& parent, processes::Process& child, GroupId group) {
    const bool overtaken = moved_lately(parent);
    const Threads apart = threads_apart(parent.id(), group);
    if (find(group) == nullptr || (!restricted(group) && !overtaken && apart.empty())) {
        return;
    }
    const CpuList& effective = states_.at(group).effective;
    const auto has = host_.affinity(child.id());
    if (has && (!has->is_subset_of(effective) || (overtaken && *has != effective) ||
                is_of_thread_apart(*has, apart, group))) {
        static_cast<void>(
            host_.set_affinity(child.id(), effective, {}));  // gone, or not ours: the parent's fate as well
    }
}

// Whether a mask is the one that a thread apart has, and so what it started.
bool Cpuset::is_of_thread_apart(const CpuList& mask, const Threads& apart, GroupId group) {
    const grouping::HierarchyId hierarchy = host_.forest().group(group)->hierarchy;
    return std::ranges::any_of(apart, [&](const base::ThreadId& thread) {
        const State* state = find((*host_.threads_apart().find(thread))[hierarchy.value]);
        return state != nullptr && state->effective == mask;
    });
}

// Where nobody told which thread is new, a CPU too many shows; a narrow mask may be somebody's own wish.
void Cpuset::thread_started(const processes::Process& process, const std::optional<base::ThreadId>& thread,
                            GroupId group) {
    const Threads apart = threads_apart(process.id(), group);
    if (apart.empty() || find(group) == nullptr) {
        return;
    }
    const CpuList& effective = states_.at(group).effective;
    if (!thread) {
        static_cast<void>(host_.adapt_affinity(process.id(), {}, effective, apart));
        return;
    }
    const auto has = host_.affinity(*thread);
    if (has && (!has->is_subset_of(effective) || is_of_thread_apart(*has, apart, group))) {
        static_cast<void>(host_.set_affinity(*thread, effective));
    }
}

void Cpuset::birth(GroupId group, Birth& birth) {
    if (const State* state = find(group); state != nullptr && restricted(group)) {
        birth.affinity = state->effective.words();
    }
}

std::vector<wire::TrapClass> Cpuset::traps(GroupId group) {
    return restricted(group) ? possible_traps() : std::vector<wire::TrapClass>{};
}

std::vector<wire::TrapClass> Cpuset::possible_traps() const {
    return {wire::TrapClass::affinity};
}

// CPUs came or went. The kernel has moved whoever lost all of his; what was asked comes back with its CPUs.
void Cpuset::refresh() {
    State* root = find(root_);
    if (root == nullptr) {
        return;
    }
    root->effective = host_.online_cpus();
    for (const auto& [group, before] : derive()) {
        adapt_members(group, before);
    }
}

}  // namespace gpcsup::controllers
