#include "controllers/numfiles.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <string>

namespace gpcsup::controllers {

namespace {

constexpr std::array table{
    Attribute{"barrier", AttributeType::limit, Access::read_write, "files", "max",
              "Most open files in the group and below for those without CAP_SYS_ADMIN; max = as the limit",
              nullptr, Cloned::no, "256"},
    Attribute{"limit", AttributeType::limit, Access::read_write, "files", "max",
              "Most open files in the group and below for anybody; one more open gets EMFILE (compat = "
              "\"2006\": in the group; ENFILE)",
              nullptr, Cloned::no, "512"},
    Attribute{"held", AttributeType::count, Access::read_only, "files", "0",
              "Open files charged to the group and below now: descriptions, not descriptors"},
    Attribute{"maxheld", AttributeType::count, Access::read_only, "files", "0",
              "The most that was ever counted"},
    Attribute{"minheld", AttributeType::count, Access::read_only, "files", "0",
              "The least that was counted since the group first had any"},
    Attribute{"failcnt", AttributeType::count, Access::read_only, "", "0",
              "Opens refused because of this group's own barrier or limit"},
};

std::uint64_t default_number(const Attribute& attribute, grouping::Compat compat, Level level) {
    const std::string_view text = default_of(attribute, compat, level);
    std::uint64_t number = wire::unlimited;  // "max"
    std::from_chars(text.data(), text.data() + text.size(), number);
    return number;
}

const Registration registration("numfiles", table, [](Host& host) -> std::unique_ptr<Controller> {
    return std::make_unique<Numfiles>(host);
});

}  // namespace

Numfiles::Numfiles(Host& host) : host_(host) {
    host_.on_files_look_due([this] { look_at_holds(); });
}

std::span<const Attribute> Numfiles::attributes() const {
    return table;
}

// Where a new group is limited from the start. After a restart its row is there already, and holds until
// every setting has been restored.
base::Result<> Numfiles::create(grouping::GroupId group, grouping::GroupId parent) {
    State state;
    state.parent = parent;
    const Level level = parent == grouping::GroupId{} ? Level::root : Level::below;
    state.barrier = default_number(table[0], host_.forest().compat_of(group), level);
    state.limit = default_number(table[1], host_.forest().compat_of(group), level);
    if (state.is_limited() && !host_.has_budget(group, wire::BudgetKind::files)) {
        if (auto published = publish(group, state); !published) {
            return published;
        }
    }
    states_[group] = state;
    return {};
}

base::Result<> Numfiles::publish(grouping::GroupId group, const State& state) {
    const bool of_2006 = host_.forest().compat_of(group) == grouping::Compat::year_2006;
    return host_.publish_files(group, state.barrier, state.limit, of_2006 ? ENFILE : EMFILE);
}

void Numfiles::destroy(grouping::GroupId group) {
    host_.retire_budget(group, wire::BudgetKind::files);
    states_.erase(group);
    held_.erase(group);
}

void Numfiles::recover(grouping::GroupId group) {
    State& state = states_.at(group);
    state.waters = host_.file_waters(group);
    if (state.is_limited() || host_.has_budget(group, wire::BudgetKind::files)) {
        static_cast<void>(publish(group, state));  // it had its row before
    }
}

base::Result<> Numfiles::can_set(grouping::GroupId group, std::string_view attribute, const Value& value) {
    const Change change{attribute, value};
    return can_change(group, {&change, 1});
}

// 0 refuses every open, and one below what is held refuses them until enough has been closed.
base::Result<> Numfiles::can_change(grouping::GroupId group, std::span<const Change> changes) {
    const auto known = states_.find(group);
    State wanted = known == states_.end() ? State{} : known->second;
    for (const Change& change : changes) {
        if (known == states_.end() || (change.attribute != "limit" && change.attribute != "barrier")) {
            return unknown(change.attribute);
        }
        (change.attribute == "limit" ? wanted.limit : wanted.barrier) = limit_number(change.value);
    }
    if (wanted.barrier != wire::unlimited && wanted.barrier > wanted.limit) {
        return base::refuse(
            EINVAL, "numfiles.barrier (" + std::to_string(wanted.barrier) +
                        ") must not be above numfiles.limit (" + std::to_string(wanted.limit) +
                        "): set both at once, as in numfiles.barrier=" + std::to_string(wanted.limit) +
                        " numfiles.limit=" + std::to_string(wanted.limit));
    }
    return {};
}

base::Result<> Numfiles::set(grouping::GroupId group, std::string_view attribute, const Value& value) {
    const auto known = states_.find(group);
    if (known == states_.end() || (attribute != "limit" && attribute != "barrier")) {
        return unknown(attribute);
    }
    State& state = known->second;
    std::uint64_t& changed = attribute == "limit" ? state.limit : state.barrier;
    const std::uint64_t wanted = limit_number(value);
    if (wanted == changed) {
        return {};
    }
    const std::uint64_t before = std::exchange(changed, wanted);
    if (auto published = publish(group, state); !published) {
        changed = before;
        return published;
    }
    host_.keep_file_waters(group, state.waters);
    return {};
}

// One after another: what is in force stays so until the last of them is there (recover).
base::Result<> Numfiles::restore(grouping::GroupId group, std::string_view attribute, const Value& value) {
    const auto known = states_.find(group);
    if (known == states_.end() || (attribute != "limit" && attribute != "barrier")) {
        return unknown(attribute);
    }
    (attribute == "limit" ? known->second.limit : known->second.barrier) = limit_number(value);
    return {};
}

base::Result<Value> Numfiles::get(grouping::GroupId group, std::string_view attribute) {
    const auto known = states_.find(group);
    if (known == states_.end()) {
        return unknown(attribute);
    }
    State& state = known->second;
    if (attribute == "barrier") {
        return limit_value(state.barrier);
    }
    if (attribute == "limit") {
        return limit_value(state.limit);
    }
    if (attribute == "failcnt") {
        return Value{host_.budget_failcnt(group, wire::BudgetKind::files)};
    }
    const std::uint64_t held = host_.file_count(group);
    note(group, state, held);
    if (attribute == "held") {
        return Value{held};
    }
    if (attribute == "maxheld") {
        return Value{state.waters.most};
    }
    return attribute == "minheld" ? base::Result<Value>(Value{state.waters.least.value_or(0)})
                                  : unknown(attribute);
}

// A group that has never had a file has no least: else it would be 0 for ever, as it was in the original.
void Numfiles::note(grouping::GroupId group, State& state, std::uint64_t held) {
    Host::Waters& waters = state.waters;
    const Host::Waters kept = host_.file_waters(group);
    waters.most = std::max({waters.most, kept.most, held});
    if (kept.least) {
        waters.least = std::min(waters.least.value_or(*kept.least), *kept.least);
    }
    if (held > 0 || waters.least) {
        waters.least = std::min(waters.least.value_or(held), held);
    }
    host_.keep_file_waters(group, waters);
}

base::Result<> Numfiles::attach(std::span<const Move> moves) {
    for (const Move& move : moves) {
        host_.files_leave(*move.process, move.from);
    }
    look_at_holds();
    return {};
}

void Numfiles::fork(const processes::Process& parent, processes::Process& child, grouping::GroupId) {
    host_.files_forked(parent, child);
}

void Numfiles::exit(const processes::Process& process, grouping::GroupId) {
    host_.files_ended(process);
    if (!held_.empty()) {
        look_at_holds();
    }
}

void Numfiles::look_at_holds() {
    const auto open = host_.files_open_elsewhere();
    for (auto at = held_.begin(); at != held_.end();) {
        const grouping::GroupId group = *at++;
        if (!open.contains(group)) {
            held_.erase(group);
            host_.drop_hold(group, name());
        }
    }
    for (const auto& [group, files] : open) {
        const auto known = states_.find(group);
        if (known != states_.end() && known->second.parent != grouping::GroupId{}) {
            host_.hold(group, name(), std::to_string(files) + " files opened here are open in other groups");
            held_.insert(group);
        }
    }
}

std::vector<wire::TrapClass> Numfiles::traps(grouping::GroupId group) {
    const grouping::Forest& forest = host_.forest();
    for (auto at = states_.find(group); at != states_.end();
         at = states_.find(forest.counted_above(at->first))) {
        if (at->second.is_limited()) {
            return possible_traps();
        }
    }
    return {};
}

std::vector<wire::TrapClass> Numfiles::possible_traps() const {
    return {wire::TrapClass::file};
}

}  // namespace gpcsup::controllers
