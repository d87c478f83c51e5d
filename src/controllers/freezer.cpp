#include "controllers/freezer.h"

#include <array>
#include <cerrno>
#include <string>

namespace gpcsup::controllers {

using grouping::GroupId;

namespace {

constexpr std::array table{
    Attribute{"state", AttributeType::freezing, Access::read_write, "", "thawed",
              "Set frozen or thawed; read also freezing: not everybody in it and below stands still yet"},
    Attribute{"self_freezing", AttributeType::boolean, Access::read_only, "", "false",
              "Whether the group itself was asked to be frozen, here or by `gpcsup freeze`"},
    Attribute{"parent_freezing", AttributeType::boolean, Access::read_only, "", "false",
              "Whether a group above it is frozen: it stands still with that one"},
};

const Registration registration("freezer", table, [](Host& host) -> std::unique_ptr<Controller> {
    return std::make_unique<Freezer>(host);
});

Value word(std::string_view state) {
    return Value{std::string(state)};
}

bool is_frozen(const Value& value) {
    return value == word("frozen");
}

}  // namespace

std::span<const Attribute> Freezer::attributes() const {
    return table;
}

// All there is to know of a group is in the forest.
base::Result<> Freezer::create(GroupId, GroupId) {
    return {};
}

void Freezer::destroy(GroupId group) {
    to_recover_.erase(group);
}

base::Result<> Freezer::can_set(GroupId group, std::string_view attribute, const Value& value) {
    const grouping::Group* at = host_.forest().group(group);
    if (at == nullptr || attribute != "state") {
        return unknown(attribute);
    }
    if (at->parent.value == 0 && is_frozen(value)) {
        return base::refuse(EINVAL,
                            "freezer.state of " + host_.forest().full_path(group) +
                                ": the root of a hierarchy holds every process and is not frozen",
                            "freeze a group below it");
    }
    return {};
}

base::Result<> Freezer::set(GroupId group, std::string_view attribute, const Value& value) {
    if (auto possible = can_set(group, attribute, value); !possible) {
        return possible;
    }
    if (is_frozen(value)) {
        host_.freeze(group);
    } else {
        host_.thaw(group);
    }
    return {};
}

// The host has its own record of who is frozen, and that it is.
base::Result<> Freezer::restore(GroupId group, std::string_view attribute, const Value& value) {
    if (attribute == "state" && is_frozen(value)) {
        to_recover_.insert(group);
    }
    return {};
}

// Unless it ended between the two records of a thaw: that is as if it had not been asked for.
void Freezer::recover(GroupId group) {
    const grouping::Group* at = host_.forest().group(group);
    if (to_recover_.erase(group) > 0 && at != nullptr && !at->frozen) {
        host_.freeze(group);
    }
}

base::Result<Value> Freezer::get(GroupId group, std::string_view attribute) {
    const grouping::Group* at = host_.forest().group(group);
    if (at == nullptr) {
        return unknown(attribute);
    }
    if (attribute == "state") {
        return word(!at->frozen_effective ? "thawed" : host_.stands_still(group) ? "frozen" : "freezing");
    }
    if (attribute == "self_freezing") {
        return Value{at->frozen};
    }
    if (attribute == "parent_freezing") {
        const grouping::Group* above = host_.forest().group(at->parent);
        return Value{above != nullptr && above->frozen_effective};
    }
    return unknown(attribute);
}

base::Result<Value> Freezer::asked(GroupId group, std::string_view attribute) {
    const grouping::Group* at = host_.forest().group(group);
    return at != nullptr && attribute == "state" ? word(at->frozen ? "frozen" : "thawed")
                                                 : get(group, attribute);
}

}  // namespace gpcsup::controllers
