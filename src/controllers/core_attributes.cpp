#include "controllers/core_attributes.h"

#include <algorithm>
#include <cerrno>
#include <optional>

namespace gpcsup::controllers {

namespace {

using grouping::Forest;
using grouping::Group;

enum class Roots { excepted, too, only };  // whether the root of a hierarchy has a value to be set

struct CoreRow {
    Attribute attribute;
    Value (*get)(const Group& group);
    void (*set)(Group& group, const Value& value);  // null = read-only
    Roots roots = Roots::excepted;
};

base::Result<> check_agent(const Value& value) {
    constexpr std::size_t longest = 4095;
    const std::string& path = std::get<std::string>(value);
    const bool printable =
        std::none_of(path.begin(), path.end(), [](char c) { return c == '\n' || c == '\0'; });
    if (!path.empty() && (path.front() != '/' || path.size() > longest || !printable)) {
        return base::refuse(EINVAL, "expected the absolute path of a program, or \"\" for none");
    }
    return {};
}

Value limit_value(const std::optional<std::uint64_t>& limit) {
    return limit ? Value{*limit} : Value{Max{}};
}

std::optional<std::uint64_t> limit_of(const Value& value) {
    const auto* number = std::get_if<std::uint64_t>(&value);
    return number != nullptr ? std::optional(*number) : std::nullopt;
}

constexpr CoreRow rows[] = {
    {{"populated", AttributeType::boolean, Access::read_only, "", "false",
      "Whether there is a live process, or a thread apart, in the group or below it"},
     [](const Group& group) { return Value{group.populated > 0}; },
     nullptr},
    {{"references", AttributeType::count, Access::read_only, "", "0",
      "What keeps the group: its own processes and threads apart, its children, and the controllers that "
      "hold it"},
     [](const Group& group) {
         return Value{std::uint64_t{group.processes} + group.threads + group.children.size() +
                      group.holders.size()};
     },
     nullptr},
    {{"auto_remove", AttributeType::boolean, Access::read_write, "", "false",
      "Whether the group is removed as soon as its last process has gone; at once where it has gone already"},
     [](const Group& group) { return Value{group.auto_remove}; },
     [](Group& group, const Value& value) { group.auto_remove = std::get<bool>(value); }},
    {{"notify_on_release", AttributeType::boolean, Access::read_write, "", "false",
      "Whether the hierarchy's release agent is told when the group became empty; new children inherit it",
      nullptr, Cloned::always},
     [](const Group& group) { return Value{group.notify_on_release}; },
     [](Group& group, const Value& value) { group.notify_on_release = std::get<bool>(value); },
     Roots::too},
    {{"release_agent", AttributeType::text, Access::read_write, "", "",
      "Of a hierarchy's root: the program that is run for groups with notify_on_release; \"\" = none",
      check_agent},
     [](const Group& group) { return Value{*group.release_agent}; },
     [](Group& group, const Value& value) { group.release_agent = std::get<std::string>(value); },
     Roots::only},
    {{"frozen", AttributeType::boolean, Access::read_only, "", "false",
      "Whether the group or one above it is frozen, by `gpcsup freeze` or freezer.state"},
     [](const Group& group) { return Value{group.frozen_effective}; },
     nullptr},
    {{"clone_children", AttributeType::boolean, Access::read_write, "", "false",
      "Whether a new child starts with a copy of the group's CPUs; new children inherit it", nullptr,
      Cloned::always},
     [](const Group& group) { return Value{group.clone_children}; },
     [](Group& group, const Value& value) { group.clone_children = std::get<bool>(value); },
     Roots::too},
    {{"max_depth", AttributeType::limit, Access::read_write, "levels", "max",
      "Levels of groups that there may be below the group"},
     [](const Group& group) { return limit_value(group.max_depth); },
     [](Group& group, const Value& value) { group.max_depth = limit_of(value); },
     Roots::too},
    {{"max_descendants", AttributeType::limit, Access::read_write, "groups", "max",
      "Groups that there may be below the group, on all levels"},
     [](const Group& group) { return limit_value(group.max_descendants); },
     [](Group& group, const Value& value) { group.max_descendants = limit_of(value); },
     Roots::too},
    {{"owner", AttributeType::user, Access::read_write, "uid", "none",
      "The user to whom the groups below are delegated: he makes, limits and removes them; new children "
      "inherit it",
      nullptr, Cloned::always},
     [](const Group& group) {
         return group.owner ? Value{std::uint64_t{*group.owner}} : Value{std::string("none")};
     },
     [](Group& group, const Value& value) {
         const auto uid = limit_of(value);
         group.owner = uid ? std::optional(static_cast<std::uint32_t>(*uid)) : std::nullopt;
     },
     Roots::too},
};

const CoreRow* find(std::string_view attribute) {
    for (const CoreRow& row : rows) {
        if (row.attribute.name == attribute) {
            return &row;
        }
    }
    return nullptr;
}

std::unexpected<base::Error> missing(std::string_view attribute) {
    return base::refuse(ENOENT, "there is no attribute group." + std::string(attribute) + " of this group");
}

}  // namespace

std::span<const Attribute> core_attributes() {
    static const std::vector<Attribute> table = [] {
        std::vector<Attribute> attributes;
        for (const CoreRow& row : rows) {
            attributes.push_back(row.attribute);
        }
        return attributes;
    }();
    return table;
}

base::Result<Value> get_core(const Forest& forest, grouping::GroupId group, std::string_view attribute) {
    const CoreRow* row = find(attribute);
    const Group* at = forest.group(group);
    if (row == nullptr || at == nullptr || (row->roots == Roots::only && at->parent.value != 0)) {
        return missing(attribute);
    }
    return row->get(*at);
}

base::Result<> set_core(Forest& forest, grouping::GroupId group, std::string_view attribute,
                        const Value& value) {
    const CoreRow* row = find(attribute);
    Group* at = forest.group(group);
    if (row == nullptr || at == nullptr || row->set == nullptr) {
        return missing(attribute);
    }
    if (at->parent.value != 0 && row->roots == Roots::only) {
        return base::refuse(EINVAL, "group." + std::string(attribute) + " is the whole hierarchy's",
                            "set it at the root: " + forest.hierarchy(at->hierarchy)->name + ":/");
    }
    if (at->hierarchy.value == 0 && row->roots == Roots::only) {
        return base::refuse(EINVAL, "the hierarchy `unit` has no release agent: units have events");
    }
    if (at->parent.value == 0 && row->roots == Roots::excepted) {
        return base::refuse(EINVAL,
                            "group." + std::string(attribute) + ": the root of a hierarchy always stays");
    }
    row->set(*at, value);
    return {};
}

void inherit_core(Forest& forest, grouping::GroupId group) {
    Group& made = *forest.group(group);
    const Group& parent = *forest.group(made.parent);
    for (const CoreRow& row : rows) {
        if (row.attribute.cloned == Cloned::always) {
            row.set(made, row.get(parent));
        }
    }
}

}  // namespace gpcsup::controllers
