#include "controllers/core_attributes.h"

#include <cerrno>

namespace gpcsup::controllers {

namespace {

using grouping::Forest;
using grouping::Group;

struct CoreRow {
    Attribute attribute;
    Value (*get)(const Group& group);
    void (*set)(Group& group, const Value& value);  // null = read-only
};

constexpr CoreRow rows[] = {
    {{"populated", AttributeType::boolean, Access::read_only, "", "false",
      "Whether there is a live process in the group or below it"},
     [](const Group& group) { return Value{group.populated > 0}; },
     nullptr},
    {{"references", AttributeType::count, Access::read_only, "", "0",
      "What keeps the group: its own processes, its children, and the controllers that hold it"},
     [](const Group& group) {
         return Value{std::uint64_t{group.processes} + group.children.size() + group.holders.size()};
     },
     nullptr},
    {{"auto_remove", AttributeType::boolean, Access::read_write, "", "false",
      "Whether the group is removed as soon as its last process has gone"},
     [](const Group& group) { return Value{group.auto_remove}; },
     [](Group& group, const Value& value) { group.auto_remove = std::get<bool>(value); }},
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
    if (row == nullptr || at == nullptr) {
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
    if (at->parent.value == 0) {
        return base::refuse(EINVAL,
                            "group." + std::string(attribute) + ": the root of a hierarchy always stays");
    }
    row->set(*at, value);
    return {};
}

}  // namespace gpcsup::controllers
