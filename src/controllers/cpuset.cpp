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
        if (at->first == root_) {
            return at->second.effective;
        }
        if (!at->second.asked.empty() || empty_ == EmptyList::has_nothing) {
            return at->second.asked;
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
        empty_ = empty_list_of(host_.forest(), group);
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
            recompute({}));  // wider masks for the siblings' members; one that fails keeps its narrower one
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
    const bool inherits = wish.asked.empty() && empty_ == EmptyList::inherits;
    if (auto agreed = check_children(group, inherits ? allowed(state->parent) : wish.asked); !agreed) {
        return agreed;
    }
    if (auto agreed = check_emptying(host_.forest(), group, "cpuset.cpus", wish.asked); !agreed) {
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
    return assigned ? recompute(group) : assigned;
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
    if (restricted(group)) {
        static_cast<void>(settle_members(group, states_.at(group).effective));
    }
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

// And the members of those groups, and of the one that was touched: somebody in it may have a CPU that was
// offline when it was taken from the group. Goes on after a failure, so that as many processes as possible
// are right; the first one is returned.
base::Result<> Cpuset::recompute(std::optional<GroupId> touched) {
    base::Result<> first;
    const auto settle = [&](GroupId group, const CpuList& before) {
        if (auto applied = settle_members(group, before); !applied && first) {
            first = std::move(applied);
        }
    };
    for (const auto& [group, before] : derive()) {
        settle(group, before);
        touched = touched == group ? std::nullopt : touched;
    }
    if (touched && restricted(*touched)) {
        settle(*touched, states_.at(*touched).effective);
    }
    return first;
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
// Where somebody is restricted everybody is looked at: a mask that was set before a CPU went offline may have
// it still.
void Cpuset::refresh() {
    State* root = find(root_);
    if (root == nullptr) {
        return;
    }
    root->effective = host_.online_cpus();
    std::map<GroupId, CpuList> before;
    for (Changed& each : derive()) {
        before.emplace(each.group, std::move(each.before));
    }
    for (const auto& [group, state] : states_) {
        const auto changed = before.find(group);
        if (restricted(group)) {
            static_cast<void>(
                settle_members(group, changed != before.end() ? changed->second : state.effective));
        } else if (changed != before.end()) {
            widen_members(group, changed->second);
        }
    }
}

}  // namespace gpcsup::controllers
