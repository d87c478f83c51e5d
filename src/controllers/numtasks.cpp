#include "controllers/numtasks.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <string>

namespace gpcsup::controllers {

using grouping::GroupId;

namespace {

constexpr std::array table{
    Attribute{
        "limit", AttributeType::limit, Access::read_write, "tasks", "max",
        "Most tasks (threads count) in the group and below; one more fork gets EAGAIN (compat = \"2006\": "
        "in the group; ENOSPC)"},
    Attribute{"current", AttributeType::count, Access::read_only, "tasks", "0",
              "Tasks in the group and below now"},
    Attribute{"peak", AttributeType::count, Access::read_only, "tasks", "0",
              "The most tasks there ever were at once"},
    Attribute{"failcnt", AttributeType::count, Access::read_only, "", "0",
              "Forks refused because of this group's own limits"},
    Attribute{"process_limit", AttributeType::limit, Access::read_write, "processes", "max",
              "Most processes in the group and below, however many threads they have"},
    Attribute{"processes", AttributeType::count, Access::read_only, "processes", "0",
              "Processes in the group and below now"},
    Attribute{"forkrate", AttributeType::rate, Access::read_write, "forks", "max",
              "Most forks (threads count) in a time, in the group and below; one more gets EAGAIN (ENOSPC)"},
    Attribute{"forkrate_failcnt", AttributeType::count, Access::read_only, "", "0",
              "Forks refused because of this group's own forkrate"},
    Attribute{
        "min_shares", AttributeType::count, Access::read_write, "", "0",
        "Of the parent's child_shares_divisor: what is kept for the group and those below; 0 = nothing"},
    Attribute{"max_shares", AttributeType::limit, Access::read_write, "", "max",
              "Of the parent's child_shares_divisor: the most that the group and those below may have"},
    Attribute{"child_shares_divisor", AttributeType::count, Access::read_write, "", "100",
              "Into how many shares the tasks of the group are divided for its children"},
    Attribute{"effective_limit", AttributeType::limit, Access::read_only, "tasks", "max",
              "The lower of limit and what max_shares, here and above, come to"},
    Attribute{"guarantee", AttributeType::count, Access::read_only, "tasks", "0",
              "What min_shares, here and above, come to"},
};

const Registration registration("numtasks", table, [](Host& host) -> std::unique_ptr<Controller> {
    return std::make_unique<Numtasks>(host);
});

std::uint64_t* share_named(Shares& shares, std::string_view attribute) {
    return attribute == "min_shares"             ? &shares.min
           : attribute == "max_shares"           ? &shares.max
           : attribute == "child_shares_divisor" ? &shares.divisor
                                                 : nullptr;
}

}  // namespace

std::span<const Attribute> Numtasks::attributes() const {
    return table;
}

base::Result<> Numtasks::create(GroupId group, GroupId parent) {
    states_[group] = State{.parent = parent};
    return {};
}

void Numtasks::destroy(GroupId group) {
    host_.retire_budget(group, wire::BudgetKind::tasks);
    host_.retire_budget(group, wire::BudgetKind::processes);
    states_.erase(group);
}

// A row whose limit was lifted is in no setting, but it has a count of refusals; one whose limit never came
// as far as the journal ends as if it had not been set.
void Numtasks::recover(GroupId group) {
    State& state = states_.at(group);
    state.peak = std::max(state.peak, host_.kept_peak(group));
    for (const auto kind : {wire::BudgetKind::tasks, wire::BudgetKind::processes}) {
        const std::uint64_t limit = kind == wire::BudgetKind::tasks ? state.ceiling : state.processes;
        if (limit == wire::unlimited && host_.has_budget(group, kind)) {
            static_cast<void>(publish(group, kind, limit));  // it has its row already
        }
    }
    if (host_.has_budget(group, wire::BudgetKind::tasks)) {
        publish_rate(group, state.rate);
        host_.set_guarantee(group, state.guarantee);
    }
}

// Every limit can be had: 0 refuses every fork, one below the present count refuses them until enough tasks
// have gone.
base::Result<> Numtasks::can_set(GroupId group, std::string_view attribute, const Value&) {
    constexpr std::array<std::string_view, 6> settable{"limit",      "process_limit", "forkrate",
                                                       "min_shares", "max_shares",    "child_shares_divisor"};
    const auto state = states_.find(group);
    if (state == states_.end() || std::ranges::find(settable, attribute) == settable.end()) {
        return unknown(attribute);
    }
    if ((attribute == "min_shares" || attribute == "max_shares") && !states_.contains(state->second.parent)) {
        return base::refuse(EACCES,
                            "numtasks." + std::string(attribute) + " of " + host_.forest().full_path(group) +
                                " cannot be set: the root is no part of another group",
                            "its numtasks.limit is what the groups below share");
    }
    return {};
}

base::Result<> Numtasks::can_change(GroupId group, std::span<const Change> changes) {
    for (const Change& change : changes) {
        if (auto possible = can_set(group, change.attribute, change.value); !possible) {
            return possible;
        }
    }
    const State& state = states_.at(group);
    Shares wanted = state.shares;
    for (const Change& change : changes) {
        if (std::uint64_t* share = share_named(wanted, change.attribute)) {
            *share = limit_number(change.value);
        }
    }
    if (wanted.divisor != state.shares.divisor) {
        if (auto agreed = check_divisor(wanted.divisor, shares_below(group, {})); !agreed) {
            return agreed;
        }
    }
    const auto parent = states_.find(state.parent);
    if (parent == states_.end() || (wanted.min == state.shares.min && wanted.max == state.shares.max)) {
        return {};
    }
    return check_shares(wanted, parent->second.shares, shares_below(state.parent, group));
}

base::Result<> Numtasks::set(GroupId group, std::string_view attribute, const Value& value) {
    if (auto possible = can_set(group, attribute, value); !possible) {
        return possible;
    }
    if (attribute == "forkrate") {
        return set_rate(group, value);
    }
    State& state = states_[group];
    const std::uint64_t wanted = limit_number(value);
    if (attribute != "process_limit") {
        std::uint64_t* const share = share_named(state.shares, attribute);
        (share != nullptr ? *share : state.tasks) = wanted;
        return publish_below(group);
    }
    if (wanted == state.processes) {
        return {};
    }
    if (auto published = publish(group, wire::BudgetKind::processes, wanted); !published) {
        return published;
    }
    state.processes = wanted;
    host_.raise_peak(group, state.peak);
    return {};
}

// Without a limit above, shares are parts of nothing: the original had no number to divide either until its
// total was set.
Numtasks::Entitled Numtasks::entitled(const State& state) const {
    Entitled own{state.tasks, 0, state.tasks};
    const auto parent = states_.find(state.parent);
    if (parent == states_.end()) {
        return own;
    }
    const Entitled above = entitled(parent->second);
    const std::uint64_t divisor = parent->second.shares.divisor;
    const std::uint64_t share = part_of(above.ceiling, state.shares.max, divisor);
    own.ceiling = std::min(state.tasks, share);
    if (state.shares.min > 0 && above.for_children != wire::unlimited) {
        own.guarantee = std::min(part_of(above.for_children, state.shares.min, divisor), own.ceiling);
    }
    own.for_children = own.guarantee > 0 ? own.guarantee : own.ceiling;
    return own;
}

std::vector<Shares> Numtasks::shares_below(GroupId parent, GroupId except) const {
    std::vector<Shares> shares;
    const grouping::Group* group = host_.forest().group(parent);
    for (const GroupId child : group->children) {
        const auto state = states_.find(child);
        if (child != except && state != states_.end()) {
            shares.push_back(state->second.shares);
        }
    }
    return shares;
}

// Goes on after a failure: the caller sets the old value, which publishes all of them again.
base::Result<> Numtasks::publish_below(GroupId top) {
    base::Result<> first;
    host_.forest().for_each_below(top, [&](const grouping::Group& group) {
        const auto state = states_.find(group.id);
        if (state == states_.end()) {
            return;
        }
        if (auto done = publish_tasks(group.id, state->second, entitled(state->second)); !done && first) {
            first = std::move(done);
        }
    });
    return first;
}

base::Result<> Numtasks::publish_tasks(GroupId group, State& state, const Entitled& now) {
    if (now.ceiling == state.ceiling && now.guarantee == state.guarantee) {
        return {};
    }
    if (auto published = publish(group, wire::BudgetKind::tasks, now.ceiling); !published) {
        return published;
    }
    host_.set_guarantee(group, now.guarantee);
    state.ceiling = now.ceiling;
    state.guarantee = now.guarantee;
    host_.raise_peak(group, state.peak);
    return {};
}

base::Result<> Numtasks::publish(GroupId group, wire::BudgetKind kind, std::uint64_t limit) {
    const bool of_2006 = host_.forest().compat_of(group) == grouping::Compat::year_2006;
    return host_.publish_budget(group, kind, limit, of_2006 ? ENOSPC : EAGAIN);
}

void Numtasks::publish_rate(GroupId group, const Rate& rate) {
    const bool of_2006 = host_.forest().compat_of(group) == grouping::Compat::year_2006;
    host_.set_fork_rate(group, rate.count, rate.window_ns,
                        of_2006 ? wire::RateSpends::asked : wire::RateSpends::admitted);
}

base::Result<> Numtasks::set_rate(GroupId group, const Value& value) {
    State& state = states_[group];
    Rate wanted{wire::unlimited, 0};
    if (const auto* text = std::get_if<std::string>(&value)) {
        auto parsed = parse_rate(*text);
        if (!parsed) {
            return base::pass(parsed);
        }
        wanted = *parsed;
    }
    if (wanted.count == wire::unlimited && state.rate.count == wire::unlimited) {
        return {};
    }
    // The row is the limit's, too.
    if (auto published = publish(group, wire::BudgetKind::tasks, state.ceiling); !published) {
        return published;
    }
    publish_rate(group, wanted);
    state.rate = wanted;
    state.rate_text = wanted.count == wire::unlimited ? Value{Max{}} : value;
    host_.raise_peak(group, state.peak);
    return {};
}

base::Result<Value> Numtasks::get(GroupId group, std::string_view attribute) {
    const auto state = states_.find(group);
    if (state == states_.end()) {
        return unknown(attribute);
    }
    if (attribute == "limit") {
        return limit_value(state->second.tasks);
    }
    if (attribute == "process_limit") {
        return limit_value(state->second.processes);
    }
    if (attribute == "forkrate") {
        return state->second.rate_text;
    }
    if (attribute == "max_shares" || attribute == "effective_limit") {
        return limit_value(attribute == "max_shares" ? state->second.shares.max : state->second.ceiling);
    }
    if (attribute == "guarantee") {
        return Value{state->second.guarantee};
    }
    if (std::uint64_t* share = share_named(state->second.shares, attribute)) {
        return Value{*share};
    }
    if (attribute == "forkrate_failcnt") {
        return Value{host_.fork_rate_failcnt(group)};
    }
    if (attribute == "failcnt") {
        return Value{host_.budget_failcnt(group, wire::BudgetKind::tasks) +
                     host_.budget_failcnt(group, wire::BudgetKind::processes)};
    }
    const Host::TaskCount count = host_.task_count(group);
    raise_peak(group, state->second, count.tasks);
    if (attribute == "current") {
        return Value{count.tasks};
    }
    if (attribute == "peak") {
        return Value{state->second.peak};
    }
    if (attribute == "processes") {
        return Value{count.processes};
    }
    return unknown(attribute);
}

void Numtasks::raise_peak(GroupId group, State& state, std::uint64_t tasks) {
    if (tasks > state.peak) {
        state.peak = tasks;
        host_.raise_peak(group, tasks);
    }
}

// Processes, which are known without a look at them; threads are seen whenever they are counted.
void Numtasks::note_arrival(GroupId group) {
    const grouping::Forest& forest = host_.forest();
    const bool alone = forest.compat_of(group) == grouping::Compat::year_2006;
    for (auto at = states_.find(group); at != states_.end();
         at = states_.find(forest.counted_above(at->first))) {
        if (const grouping::Group* known = forest.group(at->first)) {
            raise_peak(at->first, at->second, alone ? known->processes : known->processes_below());
        }
    }
}

base::Result<> Numtasks::attach(std::span<const Move> moves) {
    for (const Move& move : moves) {
        note_arrival(move.to);
    }
    return {};
}

void Numtasks::fork(const processes::Process&, processes::Process&, GroupId group) {
    note_arrival(group);
}

void Numtasks::born(processes::Process&, GroupId group) {
    note_arrival(group);
}

std::vector<wire::TrapClass> Numtasks::traps(GroupId group) {
    const grouping::Forest& forest = host_.forest();
    for (auto at = states_.find(group); at != states_.end();
         at = states_.find(forest.counted_above(at->first))) {
        if (at->second.ceiling != wire::unlimited || at->second.processes != wire::unlimited ||
            at->second.rate.count != wire::unlimited) {
            return possible_traps();
        }
    }
    return {};
}

std::vector<wire::TrapClass> Numtasks::possible_traps() const {
    return {wire::TrapClass::task};
}

}  // namespace gpcsup::controllers
