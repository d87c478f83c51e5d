#include "controllers/numtasks.h"

#include <array>
#include <cerrno>
#include <string>

namespace gpcsup::controllers {

namespace {

constexpr std::array table{
    Attribute{"limit", AttributeType::limit, Access::read_write, "tasks", "max",
              "Most tasks (threads count) in the group and below; one more fork gets EAGAIN"},
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
              "Most forks (threads count) in a time, in the group and below; one more gets EAGAIN"},
    Attribute{"forkrate_failcnt", AttributeType::count, Access::read_only, "", "0",
              "Forks refused because of this group's own forkrate"},
};

const Registration registration("numtasks", table, [](Host& host) -> std::unique_ptr<Controller> {
    return std::make_unique<Numtasks>(host);
});

std::unexpected<base::Error> unknown(std::string_view attribute) {
    return base::refuse(ENOENT,
                        "there is no attribute numtasks." + std::string(attribute) + " to do that with");
}

Value shown(std::uint64_t limit) {
    return limit == wire::unlimited ? Value{Max{}} : Value{limit};
}

}  // namespace

std::span<const Attribute> Numtasks::attributes() const {
    return table;
}

base::Result<> Numtasks::create(grouping::GroupId group, grouping::GroupId parent) {
    states_[group] = State{.parent = parent};
    return {};
}

void Numtasks::destroy(grouping::GroupId group) {
    host_.retire_budget(group, wire::BudgetKind::tasks);
    host_.retire_budget(group, wire::BudgetKind::processes);
    states_.erase(group);
}

// A row whose limit was lifted is in no setting, but it has a count of refusals; one whose limit never came
// as far as the journal ends as if it had not been set.
void Numtasks::recover(grouping::GroupId group) {
    State& state = states_.at(group);
    state.peak = std::max(state.peak, host_.kept_peak(group));
    for (const auto kind : {wire::BudgetKind::tasks, wire::BudgetKind::processes}) {
        const std::uint64_t limit = kind == wire::BudgetKind::tasks ? state.tasks : state.processes;
        if (limit == wire::unlimited && host_.has_budget(group, kind)) {
            static_cast<void>(host_.publish_budget(group, kind, limit, EAGAIN));  // it has its row already
        }
    }
    if (host_.has_budget(group, wire::BudgetKind::tasks)) {
        host_.set_fork_rate(group, state.rate.count, state.rate.window_ns);
    }
}

// Every limit can be had: 0 refuses every fork, one below the present count refuses them until enough tasks
// have gone.
base::Result<> Numtasks::can_set(grouping::GroupId group, std::string_view attribute, const Value&) {
    if (!states_.contains(group) ||
        (attribute != "limit" && attribute != "process_limit" && attribute != "forkrate")) {
        return unknown(attribute);
    }
    return {};
}

base::Result<> Numtasks::set(grouping::GroupId group, std::string_view attribute, const Value& value) {
    if (auto possible = can_set(group, attribute, value); !possible) {
        return possible;
    }
    if (attribute == "forkrate") {
        return set_rate(group, value);
    }
    State& state = states_[group];
    const bool of_tasks = attribute == "limit";
    std::uint64_t& limit = of_tasks ? state.tasks : state.processes;
    const std::uint64_t wanted =
        std::holds_alternative<Max>(value) ? wire::unlimited : std::get<std::uint64_t>(value);
    if (wanted == limit) {
        return {};
    }
    const auto kind = of_tasks ? wire::BudgetKind::tasks : wire::BudgetKind::processes;
    if (auto published = host_.publish_budget(group, kind, wanted, EAGAIN); !published) {
        return published;
    }
    limit = wanted;
    host_.raise_peak(group, state.peak);
    return {};
}

base::Result<> Numtasks::set_rate(grouping::GroupId group, const Value& value) {
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
    if (auto published = host_.publish_budget(group, wire::BudgetKind::tasks, state.tasks, EAGAIN);
        !published) {
        return published;
    }
    host_.set_fork_rate(group, wanted.count, wanted.window_ns);
    state.rate = wanted;
    state.rate_text = wanted.count == wire::unlimited ? Value{Max{}} : value;
    host_.raise_peak(group, state.peak);
    return {};
}

base::Result<Value> Numtasks::get(grouping::GroupId group, std::string_view attribute) {
    const auto state = states_.find(group);
    if (state == states_.end()) {
        return unknown(attribute);
    }
    if (attribute == "limit") {
        return shown(state->second.tasks);
    }
    if (attribute == "process_limit") {
        return shown(state->second.processes);
    }
    if (attribute == "forkrate") {
        return state->second.rate_text;
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

void Numtasks::raise_peak(grouping::GroupId group, State& state, std::uint64_t tasks) {
    if (tasks > state.peak) {
        state.peak = tasks;
        host_.raise_peak(group, tasks);
    }
}

// Processes, which are known without a look at them; threads are seen whenever they are counted.
void Numtasks::note_arrival(grouping::GroupId group) {
    for (auto at = states_.find(group); at != states_.end(); at = states_.find(at->second.parent)) {
        if (const grouping::Group* known = host_.forest().group(at->first)) {
            raise_peak(at->first, at->second, known->processes_below());
        }
    }
}

base::Result<> Numtasks::attach(std::span<const Move> moves) {
    for (const Move& move : moves) {
        note_arrival(move.to);
    }
    return {};
}

void Numtasks::fork(const processes::Process&, processes::Process&, grouping::GroupId group) {
    note_arrival(group);
}

void Numtasks::born(processes::Process&, grouping::GroupId group) {
    note_arrival(group);
}

std::vector<wire::TrapClass> Numtasks::traps(grouping::GroupId group) {
    for (auto at = states_.find(group); at != states_.end(); at = states_.find(at->second.parent)) {
        if (at->second.tasks != wire::unlimited || at->second.processes != wire::unlimited ||
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
