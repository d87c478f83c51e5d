#include "controllers/rlimits.h"

#include <algorithm>
#include <cerrno>
#include <string>
#include <utility>

#include <sys/resource.h>

namespace gpcsup::controllers {

using grouping::GroupId;
using Limit = Host::Limit;
using LimitSet = Host::LimitSet;

namespace {

struct Row {
    Attribute attribute;
    int resource;
};

constexpr AttributeType numbers = AttributeType::soft_hard;
constexpr AttributeType bytes = AttributeType::byte_limits;
constexpr Access access = Access::read_write;

constexpr Row rows[] = {
    {{"as", bytes, access, "bytes", "max", "Address space of each process"}, RLIMIT_AS},
    {{"core", bytes, access, "bytes", "max", "Size of a core dump"}, RLIMIT_CORE},
    {{"cpu", numbers, access, "s", "max",
      "CPU time of each process: SIGXCPU at the soft limit, SIGKILL at the hard"},
     RLIMIT_CPU},
    {{"data", bytes, access, "bytes", "max", "Data segment of each process"}, RLIMIT_DATA},
    {{"fsize", bytes, access, "bytes", "max", "Size of a file that it writes"}, RLIMIT_FSIZE},
    {{"memlock", bytes, access, "bytes", "max", "Memory that it locks"}, RLIMIT_MEMLOCK},
    {{"msgqueue", bytes, access, "bytes", "max", "POSIX message queues of the user"}, RLIMIT_MSGQUEUE},
    {{"nice", numbers, access, "", "max", "20 less the lowest nice value that it may have"}, RLIMIT_NICE},
    {{"nofile", numbers, access, "", "max", "One more than the highest file descriptor"}, RLIMIT_NOFILE},
    {{"nproc", numbers, access, "tasks", "max",
      "Tasks of the process's user, wherever they are; those of the group are numtasks.limit"},
     RLIMIT_NPROC},
    {{"rtprio", numbers, access, "", "max", "Highest real-time priority that it may have"}, RLIMIT_RTPRIO},
    {{"rttime", numbers, access, "us", "max", "Real-time CPU time without a call that blocks"},
     RLIMIT_RTTIME},
    {{"sigpending", numbers, access, "", "max", "Signals queued for the user"}, RLIMIT_SIGPENDING},
    {{"stack", bytes, access, "bytes", "max", "Stack of the main thread"}, RLIMIT_STACK},
};

constexpr auto table = [] {
    std::array<Attribute, std::size(rows)> attributes{};
    for (std::size_t at = 0; at < std::size(rows); ++at) {
        attributes[at] = rows[at].attribute;
    }
    return attributes;
}();

const Registration registration("rlimits", table, [](Host& host) -> std::unique_ptr<Controller> {
    return std::make_unique<Rlimits>(host);
});

// How long a fork may take to be told of: the trackers are drained far more often.
constexpr std::chrono::seconds overtaken_for{2};

const Row* find_row(std::string_view attribute) {
    const auto* const row = std::ranges::find(
        rows, attribute, [](const Row& each) -> const std::string_view& { return each.attribute.name; });
    return row != std::end(rows) ? row : nullptr;
}

Limit limit_of(const Value& value) {
    const auto* text = std::get_if<std::string>(&value);
    const auto parsed = text != nullptr ? parse_soft_hard(*text, Suffixes::none) : SoftHard{};
    return parsed ? Limit{parsed->soft, parsed->hard} : Limit{};  // parse_value has seen it already
}

Limit tighter(const Limit& one, const Limit& other) {
    const std::uint64_t hard = std::min(one.hard, other.hard);
    return {std::min({one.soft, other.soft, hard}), hard};
}

}  // namespace

std::span<const Attribute> Rlimits::attributes() const {
    return table;
}

base::Result<> Rlimits::create(GroupId group, GroupId parent) {
    states_[group] = {parent, {}};
    return {};
}

LimitSet Rlimits::effective(GroupId group) const {
    LimitSet all;
    for (auto at = states_.find(group); at != states_.end(); at = states_.find(at->second.parent)) {
        for (const Row& row : rows) {
            const auto resource = static_cast<std::size_t>(row.resource);
            all[resource] = tighter(all[resource], at->second.asked[resource]);
        }
    }
    return all;
}

base::Result<> Rlimits::can_set(GroupId group, std::string_view attribute, const Value&) {
    const auto state = states_.find(group);
    if (state == states_.end() || find_row(attribute) == nullptr) {
        return unknown(attribute);
    }
    if (state->second.parent.value == 0) {
        return base::refuse(EACCES,
                            "rlimits." + std::string(attribute) + " of " + host_.forest().full_path(group) +
                                " is the machine's and cannot be set",
                            "make a group below it");
    }
    return {};
}

base::Result<> Rlimits::restore(GroupId group, std::string_view attribute, const Value& value) {
    const Row* row = find_row(attribute);
    if (row == nullptr || !states_.contains(group)) {
        return unknown(attribute);
    }
    states_[group].asked[static_cast<std::size_t>(row->resource)] = limit_of(value);
    return {};
}

base::Result<> Rlimits::set(GroupId group, std::string_view attribute, const Value& value) {
    std::vector<std::pair<GroupId, LimitSet>> before;
    host_.forest().for_each_below(
        group, [&](const grouping::Group& each) { before.emplace_back(each.id, effective(each.id)); });
    if (auto assigned = restore(group, attribute, value); !assigned) {
        return assigned;
    }
    last_change_ = host_.now();
    base::Result<> first;
    for (const auto& [each, from] : before) {
        if (auto adjusted = adjust_members(each, from, effective(each)); !adjusted && first) {
            first = std::move(adjusted);
        }
    }
    return first;
}

// Those who have it already are members of a group that has it, and get back what the group gives.
base::Result<> Rlimits::take_back(GroupId group, std::string_view attribute, const CutOff& change) {
    auto in_force = asked(group, attribute);
    if (!in_force) {
        return base::pass(in_force);
    }
    if (auto assigned = restore(group, attribute, change.tried); !assigned) {
        return assigned;
    }
    return set(group, attribute, *in_force);
}

base::Result<Value> Rlimits::get(GroupId group, std::string_view attribute) {
    const auto state = states_.find(group);
    const Row* row = find_row(attribute);
    if (state == states_.end() || row == nullptr) {
        return unknown(attribute);
    }
    const Limit& limit = state->second.asked[static_cast<std::size_t>(row->resource)];
    return limit == Limit{} ? Value{Max{}} : Value{format_soft_hard({limit.soft, limit.hard})};
}

// Goes on after a failure, so that as many as possible are right.
base::Result<> Rlimits::adjust_members(GroupId group, const LimitSet& from, const LimitSet& to) {
    base::Result<> first;
    if (from == to) {
        return first;
    }
    host_.processes().for_each_member(group, [&](processes::Process& process) {
        if (auto adjusted = adjust(process, from, to); !adjusted && first) {
            first = std::move(adjusted);
        }
    });
    return first;
}

// Where it has what the old group gave it, it gets what the new one gives; a limit that it has chosen itself
// is only ever narrowed.
base::Result<> Rlimits::adjust(processes::Process& process, const LimitSet& from, const LimitSet& to) {
    base::Result<> first;
    if (process.has(processes::process_helper)) {
        return first;
    }
    LimitSet now;
    for (const Row& row : rows) {
        auto has = host_.limit(process.id(), row.resource);
        if (!has) {
            const bool not_ours_any_more = has.error().code == EPERM && to == LimitSet{};
            return has.error().code == ESRCH || not_ours_any_more ? base::Result<>() : base::pass(has);
        }
        now[static_cast<std::size_t>(row.resource)] = *has;
    }
    auto past = host_.remembered_limits(process);
    if (!past && to != LimitSet{}) {
        host_.remember_limits(process, now);
    }
    for (const Row& row : rows) {
        const auto at = static_cast<std::size_t>(row.resource);
        const Limit given = past ? tighter((*past)[at], from[at]) : Limit{};
        const Limit base{past && now[at].soft == given.soft ? (*past)[at].soft : now[at].soft,
                         past && now[at].hard == given.hard ? (*past)[at].hard : now[at].hard};
        auto adjusted = adjust_one(process.id(), row.resource, now[at], tighter(base, to[at]));
        if (!adjusted && adjusted.error().code != ESRCH && first) {
            first = std::move(adjusted);
        }
    }
    if (to == LimitSet{} && first) {
        process.past_limits = 0;
    }
    return first;
}

base::Result<> Rlimits::adjust_one(base::ProcessId process, int resource, const Limit& had,
                                   const Limit& wanted) {
    if (wanted == had) {
        return {};
    }
    auto done = host_.set_limit(process, resource, wanted);
    if (!done && done.error().code == EPERM && wanted.hard > had.hard) {  // an ordinary user's stays lowered
        return host_.set_limit(process, resource, tighter(wanted, {Limit::unlimited, had.hard}));
    }
    return done;
}

base::Result<> Rlimits::attach(std::span<const Move> moves) {
    base::Result<> first;
    for (const Move& move : moves) {
        const LimitSet from = effective(move.from);
        const LimitSet to = effective(move.to);
        if (from == to) {
            continue;
        }
        last_change_ = host_.now();
        if (auto adjusted = adjust(*move.process, from, to); !adjusted && first) {
            first = std::move(adjusted);
        }
    }
    return first;
}

// A child has its parent's limits, and its past. One that was forked just before these were changed shows.
void Rlimits::fork(const processes::Process& parent, processes::Process& child, GroupId group) {
    child.past_limits = parent.past_limits;
    if (last_change_.count() == 0 || host_.now() - last_change_ > overtaken_for) {
        return;
    }
    if (const LimitSet limits = effective(group); limits != LimitSet{}) {
        static_cast<void>(adjust(child, limits, limits));  // gone, or not ours: the parent's fate as well
    }
}

// One of our own starts: `birth` has said what it is limited to, and gpc-exec may not have come to it yet.
void Rlimits::born(processes::Process& process, GroupId group) {
    if (process.past_limits == 0 && effective(group) != LimitSet{}) {
        host_.remember_limits(process, host_.start_limits());
    }
}

void Rlimits::birth(GroupId group, Birth& birth) {
    const LimitSet limits = effective(group);
    const LimitSet otherwise = host_.start_limits();
    for (const Row& row : rows) {
        const auto at = static_cast<std::size_t>(row.resource);
        if (limits[at] != Limit{}) {
            const Limit limit = tighter(otherwise[at], limits[at]);
            birth.limits.push_back({row.resource, limit.soft, limit.hard});
        }
    }
}

// A predecessor may have been killed between two members.
void Rlimits::recover(GroupId group) {
    const LimitSet limits = effective(group);
    if (limits == LimitSet{}) {
        return;
    }
    last_change_ = host_.now();
    host_.processes().for_each_member(group, [&](processes::Process& process) {
        static_cast<void>(adjust(process, limits, limits));  // gone, or not ours any more
    });
}

}  // namespace gpcsup::controllers
