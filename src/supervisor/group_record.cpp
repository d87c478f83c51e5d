#include "supervisor/group_record.h"

namespace gpcsup::supervisor {

using grouping::Group;

namespace {

struct FlagRow {
    const char* name;
    bool Group::*flag;
};
constexpr FlagRow flags[] = {
    {"auto_remove", &Group::auto_remove},
    {"notify_on_release", &Group::notify_on_release},
    {"clone_children", &Group::clone_children},
};

struct LimitRow {
    const char* name;
    std::optional<std::uint64_t> Group::*limit;
};
constexpr LimitRow limits[] = {
    {"max_depth", &Group::max_depth},
    {"max_descendants", &Group::max_descendants},
};

}  // namespace

void add_attributes(const Group& group, Json& record) {
    for (const FlagRow& row : flags) {
        if (group.*row.flag) {
            record[row.name] = true;
        }
    }
    for (const LimitRow& row : limits) {
        if (group.*row.limit) {
            record[row.name] = *(group.*row.limit);
        }
    }
    if (group.owner) {
        record["owner"] = *group.owner;
    }
    if (group.dying) {
        record["dying"] = true;
        record["held_by"] = holders_of(group);
    }
}

void restore_attributes(Group& group, const Json& record) {
    for (const FlagRow& row : flags) {
        group.*row.flag = record.value(row.name, false);
    }
    for (const LimitRow& row : limits) {
        if (record.contains(row.name)) {
            group.*row.limit = record[row.name].get<std::uint64_t>();
        }
    }
    if (record.contains("owner")) {
        group.owner = record["owner"].get<std::uint32_t>();
    }
}

Json settings_record(std::span<const controllers::SettingText> settings) {
    Json texts = Json::object();
    for (const controllers::SettingText& setting : settings) {
        texts[setting.name] = setting.value;
    }
    return {{"settings", std::move(texts)}};
}

std::vector<controllers::SettingText> settings_in(const Json& record) {
    std::vector<controllers::SettingText> settings;
    for (const auto& [name, value] : record.at("settings").items()) {
        settings.push_back({name, value.get<std::string>()});
    }
    return settings;
}

Json holders_of(const Group& group) {
    Json holders = Json::object();
    for (const auto& [controller, why] : group.holders) {
        holders[controller] = why;
    }
    return holders;
}

}  // namespace gpcsup::supervisor
