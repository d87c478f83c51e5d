#include "controllers/memset.h"

#include <array>
#include <cerrno>
#include <string>
#include <utility>

#include <linux/mempolicy.h>

namespace gpcsup::controllers {

using base::CpuList;
using grouping::GroupId;

namespace {

constexpr std::array table{
    Attribute{"mems", AttributeType::node_list, Access::read_write, "", "",
              "NUMA nodes asked for, a part of the parent's; empty = the parent's", nullptr,
              Cloned::with_clone_children},
    Attribute{"effective_mems", AttributeType::node_list, Access::read_only, "", "",
              "Nodes from which the group's processes really get memory: what was asked and is there"},
    Attribute{"mem_exclusive", AttributeType::boolean, Access::read_write, "", "false",
              "Whether no sibling may have one of the group's nodes; the parent must be exclusive, too"},
    Attribute{"memory_migrate", AttributeType::boolean, Access::read_write, "", "false",
              "Whether memory that processes have already follows them into the group, and to its nodes when "
              "those change"},
    Attribute{"migrating", AttributeType::count, Access::read_only, "processes", "0",
              "Processes of the group whose memory is still on its way"},
    Attribute{"memory_spread", AttributeType::boolean, Access::read_write, "", "false",
              "Whether what is started here gets its memory from all nodes in turn; a new group has its "
              "parent's",
              nullptr, Cloned::always},
};

const Registration registration("memset", table, [](Host& host) -> std::unique_ptr<Controller> {
    return std::make_unique<Memset>(host);
});

constexpr NestedLists::Words words{"memset.mems", "memset.mem_exclusive", "node", "nodes",
                                   "these are the nodes that have memory"};

// Whether it is one; what it would make of the group.
bool wish_for(NestedLists::Wish& wish, std::string_view attribute, const Value& value) {
    if (attribute == "mems") {
        wish.asked = base::parse_cpu_list(std::get<std::string>(value))
                         .value_or(CpuList{});  // parse_value has seen it already
        return true;
    }
    if (attribute == "mem_exclusive") {
        wish.exclusive = std::get<bool>(value);
        return true;
    }
    return false;
}

}  // namespace

Memset::Memset(Host& host)
    : host_(host), lists_(words, [&host](GroupId group) { return host.forest().full_path(group); }) {}

std::span<const Attribute> Memset::attributes() const {
    return table;
}

Memset::Policy Memset::policy(const CpuList& effective, bool spread) const {
    return {spread, spread || effective != machine_ ? effective : CpuList{}};
}

Memset::Policy Memset::policy(GroupId group) const {
    const auto spread = spread_.find(group);
    return spread == spread_.end() ? Policy{} : policy(lists_.effective(group), spread->second);
}

base::Result<> Memset::create(GroupId group, GroupId parent) {
    if (!lists_.contains(parent)) {
        machine_ = host_.online_nodes();
    }
    lists_.create(group, parent, machine_, empty_list_of(host_.forest(), group));
    spread_[group] = false;
    migrate_[group] = false;
    return {};
}

void Memset::destroy(GroupId group) {
    spread_.erase(group);
    migrate_.erase(group);
    follow(lists_.destroy(group));
}

base::Result<> Memset::can_change(GroupId group, std::span<const Change> changes) {
    if (!lists_.contains(group)) {
        return base::refuse(ENOENT, "there is no such group");
    }
    NestedLists::Wish wish = lists_.wish(group);
    bool lists_change = false;
    for (const Change& change : changes) {
        if (wish_for(wish, change.attribute, change.value)) {
            lists_change = true;
        } else if (change.attribute != "memory_spread" && change.attribute != "memory_migrate") {
            return unknown(change.attribute);
        }
    }
    if (!lists_change) {
        return {};
    }
    auto agreed = lists_.check(group, wish);
    return agreed ? check_emptying(host_.forest(), group, words.list, wish.asked) : agreed;
}

base::Result<> Memset::can_start(GroupId group) {
    return lists_.contains(group) ? check_room_in(host_.forest(), group, words.list, lists_.wish(group).asked)
                                  : base::Result<>();
}

base::Result<> Memset::can_set(GroupId group, std::string_view attribute, const Value& value) {
    const Change change{attribute, value};
    return can_change(group, {&change, 1});
}

base::Result<> Memset::assign(GroupId group, std::string_view attribute, const Value& value, Adopt adopt) {
    const auto spread = spread_.find(group);
    if (spread == spread_.end()) {
        return unknown(attribute);
    }
    if (attribute == "memory_spread") {
        const bool before = std::exchange(spread->second, std::get<bool>(value));
        const Policy had = policy(lists_.effective(group), before);
        host_.processes().for_each_member(
            group, [&](processes::Process& member) { left_behind(member, had, group); });
        return {};
    }
    if (attribute == "memory_migrate") {  // of what comes from now on
        migrate_[group] = std::get<bool>(value);
        return {};
    }
    NestedLists::Wish wish = lists_.wish(group);
    if (!wish_for(wish, attribute, value) || lists_.is_root(group)) {
        return unknown(attribute);
    }
    (this->*adopt)(lists_.set(group, wish));
    return {};
}

base::Result<> Memset::set(GroupId group, std::string_view attribute, const Value& value) {
    return assign(group, attribute, value, &Memset::follow);
}

// While settings come back one after another a group has its parent's nodes for a moment: nothing is to move
// there. What a predecessor knew of its processes is in their flags.
base::Result<> Memset::restore(GroupId group, std::string_view attribute, const Value& value) {
    if (attribute == "memory_spread" && spread_.contains(group)) {
        spread_[group] = std::get<bool>(value);
        return {};
    }
    return assign(group, attribute, value, &Memset::leave_alone);
}

base::Result<Value> Memset::get(GroupId group, std::string_view attribute) {
    const auto spread = spread_.find(group);
    if (spread == spread_.end()) {
        return unknown(attribute);
    }
    if (attribute == "mems") {
        return Value{lists_.is_root(group) ? lists_.effective(group).format()
                                           : lists_.wish(group).asked.format()};
    }
    if (attribute == "effective_mems") {
        return Value{lists_.effective(group).format()};
    }
    if (attribute == "mem_exclusive") {
        return Value{lists_.wish(group).exclusive};
    }
    if (attribute == "memory_spread") {
        return Value{spread->second};
    }
    if (attribute == "memory_migrate") {
        return Value{migrate_.at(group)};
    }
    if (attribute == "migrating") {
        return Value{host_.pages_waiting(group)};
    }
    return unknown(attribute);
}

// As in cpuset: what the machine has is not what the root asks for.
base::Result<Value> Memset::asked(GroupId group, std::string_view attribute) {
    return lists_.is_root(group) && attribute == "mems" ? Value{std::string()} : get(group, attribute);
}

// Where the group has all there is, memory is right wherever it is.
void Memset::migrate(processes::Process& process, GroupId group, const CpuList& from) {
    const CpuList& to = lists_.effective(group);
    if (migrate_.at(group) && to != machine_) {
        host_.move_pages(process, group, from, to);
    } else if (process.has(processes::process_moves_pages)) {
        host_.leave_pages(process);
    }
}

// Its policy is what it was until now, or still that of an earlier time.
void Memset::left_behind(processes::Process& process, const Policy& had, GroupId group) {
    const bool known = had_.contains(process.id());
    if (!known && (process.flags & processes::process_other_memory) != 0) {
        return;  // a predecessor's: nobody knows what it has
    }
    const Policy& has = known ? had_.at(process.id()) : had;
    if (has == policy(group)) {
        process.flags &= ~processes::process_other_memory;
        had_.erase(process.id());
    } else {
        process.flags |= processes::process_other_memory;
        had_.try_emplace(process.id(), has);
    }
}

void Memset::follow(std::span<const NestedLists::Changed> changed) {
    for (const auto& [group, before] : changed) {
        const Policy had = policy(before, spread_.at(group));
        const CpuList& from = before;
        host_.processes().for_each_member(group, [&](processes::Process& member) {
            left_behind(member, had, group);
            migrate(member, group, from);
        });
    }
}

base::Result<> Memset::attach(std::span<const Move> moves) {
    for (const Move& move : moves) {
        if (!spread_.contains(move.to)) {
            continue;
        }
        const bool known = spread_.contains(move.from);
        left_behind(*move.process, known ? policy(move.from) : Policy{}, move.to);
        migrate(*move.process, move.to, known ? lists_.effective(move.from) : machine_);
    }
    return {};
}

void Memset::fork(const processes::Process& parent, processes::Process& child, GroupId group) {
    if (parent.has(processes::process_moves_pages) && migrate_.contains(group)) {  // it has the same pages
        migrate(child, group, lists_.effective(group));
    }
    if ((parent.flags & processes::process_other_memory) == 0) {
        return;
    }
    child.flags |= processes::process_other_memory;
    if (const auto has = had_.find(parent.id()); has != had_.end()) {
        const Policy inherited = has->second;
        had_.insert_or_assign(child.id(), inherited);
    }
}

// What we start has the group's policy; whoever was found has the one that it came with.
void Memset::born(processes::Process& process, GroupId group) {
    if ((process.flags & processes::process_service) == 0 && spread_.contains(group)) {
        left_behind(process, Policy{}, group);
    }
}

void Memset::exit(const processes::Process& process, GroupId group) {
    (void)group;
    had_.erase(process.id());
    if (process.has(processes::process_moves_pages)) {
        host_.leave_pages(process);
    }
}

// What a predecessor was about to move. Nobody knows where it was at first: it goes to the nodes by its own.
void Memset::recover(GroupId group) {
    if (!migrate_.contains(group)) {
        return;
    }
    host_.processes().for_each_member(group, [&](processes::Process& member) {
        if (member.has(processes::process_moves_pages)) {
            migrate(member, group, lists_.effective(group));
        }
    });
}

void Memset::birth(GroupId group, Birth& birth) {
    const Policy wanted = policy(group);
    if (!wanted.nodes.empty()) {
        birth.memory_mode = wanted.spread ? MPOL_INTERLEAVE : MPOL_BIND;
        birth.memory_nodes = wanted.nodes.words();
    }
}

std::optional<std::string> Memset::shortfall(const processes::Process& process, GroupId group) {
    if (!spread_.contains(group)) {
        return std::nullopt;
    }
    if ((process.flags & processes::process_other_memory) != 0) {
        return "it runs with the memory policy that it was started with; restart it for the group's";
    }
    return std::nullopt;
}

std::vector<wire::TrapClass> Memset::traps(GroupId group) {
    return spread_.contains(group) && lists_.is_restricted(group) ? possible_traps()
                                                                  : std::vector<wire::TrapClass>{};
}

std::vector<wire::TrapClass> Memset::possible_traps() const {
    return {wire::TrapClass::policy};
}

// Nodes came or went. What was asked for comes back with its nodes.
void Memset::refresh() {
    CpuList nodes = host_.online_nodes();
    if (spread_.empty() || nodes == machine_) {
        return;
    }
    machine_ = std::move(nodes);
    follow(lists_.set_machine(machine_));
}

}  // namespace gpcsup::controllers
