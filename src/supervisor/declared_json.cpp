#include "supervisor/declared_json.h"

#include <cerrno>

namespace gpcsup::supervisor {

namespace {

using grouping::DeclaredGroup;
using grouping::DeclaredHierarchy;
using grouping::Rule;
using grouping::RuleAction;

Json group_to_json(const DeclaredGroup& group) {
    Json settings = Json::object();
    for (const grouping::DeclaredSetting& setting : group.settings) {
        settings[setting.name] = setting.value;
    }
    return {{"path", group.path}, {"settings", settings}, {"location", group.location}};
}

DeclaredGroup group_from_json(const Json& json) {
    DeclaredGroup group{json.at("path"), {}, json.value("location", "")};
    for (const auto& [name, value] : json.at("settings").items()) {
        group.settings.push_back({name, value.get<std::string>()});
    }
    return group;
}

Json rule_to_json(const Rule& rule) {
    Json json = {{"location", rule.location}, {"ignore", rule.action == RuleAction::ignore}};
    if (rule.user) {
        json["user"] = grouping::to_text(*rule.user);
    }
    if (rule.group) {
        json["group"] = grouping::to_text(*rule.group);
    }
    json["executable"] = rule.executable;
    json["unit"] = rule.unit;
    json["place"] = rule.place;
    return json;
}

Rule rule_from_json(const Json& json) {
    Rule rule;
    rule.location = json.value("location", "");
    rule.action = json.value("ignore", false) ? RuleAction::ignore : RuleAction::place;
    if (json.contains("user")) {
        rule.user = grouping::parse_who(json["user"].get<std::string>());
    }
    if (json.contains("group")) {
        rule.group = grouping::parse_who(json["group"].get<std::string>());
    }
    rule.executable = json.value("executable", "");
    rule.unit = json.value("unit", "");
    rule.place = json.value("place", std::map<std::string, std::string>());
    return rule;
}

template <class List, class Read>
base::Result<List> read_list(const Json& json, std::string_view what, Read read) {
    List list;
    try {
        for (const Json& one : json.at("list")) {
            list.push_back(read(one));
        }
    } catch (const Json::exception& error) {
        return base::fail(EPROTO, "read", what, error.what());
    }
    return list;
}

}  // namespace

Json to_json(const grouping::DeclaredTree& tree) {
    Json list = Json::array();
    for (const DeclaredHierarchy& hierarchy : tree) {
        Json groups = Json::array();
        for (const DeclaredGroup& group : hierarchy.groups) {
            groups.push_back(group_to_json(group));
        }
        list.push_back({{"name", hierarchy.name},
                        {"controllers", hierarchy.controllers},
                        {"compat", grouping::name_of(hierarchy.compat)},
                        {"groups", groups},
                        {"location", hierarchy.location}});
    }
    return {{"list", list}};
}

Json to_json(const std::vector<Rule>& rules) {
    Json list = Json::array();
    for (const Rule& rule : rules) {
        list.push_back(rule_to_json(rule));
    }
    return {{"list", list}};
}

base::Result<grouping::DeclaredTree> tree_from_json(const Json& json) {
    return read_list<grouping::DeclaredTree>(json, "the declared hierarchies", [](const Json& one) {
        DeclaredHierarchy hierarchy{one.at("name"), one.at("controllers"), {}, one.value("location", "")};
        hierarchy.compat = grouping::compat_named(one.value("compat", "")).value_or(grouping::Compat::none);
        for (const Json& group : one.at("groups")) {
            hierarchy.groups.push_back(group_from_json(group));
        }
        return hierarchy;
    });
}

base::Result<std::vector<Rule>> rules_from_json(const Json& json) {
    return read_list<std::vector<Rule>>(json, "the placement rules", rule_from_json);
}

}  // namespace gpcsup::supervisor
