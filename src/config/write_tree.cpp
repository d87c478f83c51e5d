#include "config/write_tree.h"

#include <algorithm>

#include "base/toml_text.h"

namespace gpcsup::config {

namespace {

bool is_bare_key(std::string_view key) {
    return !key.empty() && std::ranges::all_of(key, [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
               c == '-';
    });
}

std::string key(std::string_view name) {
    return is_bare_key(name) ? std::string(name) : base::toml_quoted(name);
}

// What TOML reads back as this very text: no zero in front, and no more than its integers hold.
bool can_be_bare(std::string_view value) {
    if (value == "true" || value == "false") {
        return true;
    }
    return !value.empty() && value.size() <= 18 && (value.size() == 1 || value.front() != '0') &&
           std::ranges::all_of(value, [](char c) { return c >= '0' && c <= '9'; });
}

std::string value_text(std::string_view value, ValueStyle style) {
    return style == ValueStyle::bare && can_be_bare(value) ? std::string(value) : base::toml_quoted(value);
}

void write_hierarchy(std::string& text, const grouping::DeclaredHierarchy& hierarchy,
                     std::span<const LeftOut> left_out, const StyleOf& style_of) {
    const std::string head = "hierarchy." + key(hierarchy.name);
    text += "[" + head + "]\ncontrollers = [";
    for (std::size_t at = 0; at < hierarchy.controllers.size(); ++at) {
        text += (at == 0 ? "" : ", ") + base::toml_quoted(hierarchy.controllers[at]);
    }
    text += "]\n";
    if (hierarchy.compat != grouping::Compat::none) {
        text += "compat = " + base::toml_quoted(grouping::name_of(hierarchy.compat)) + "\n";
    }
    for (const grouping::DeclaredGroup& group : hierarchy.groups) {
        const auto left = std::ranges::find(left_out, hierarchy.name + ":" + group.path, &LeftOut::group);
        if (left != left_out.end()) {
            text += "# " + base::toml_quoted(left->group) + ": " + left->note + "\n";
            continue;
        }
        if (group.path == "/" && group.settings.empty()) {
            continue;  // the root is always there
        }
        text += "[" + head + ".group." + base::toml_quoted(group.path) + "]\n";
        for (const grouping::DeclaredSetting& setting : group.settings) {
            text += setting.name + " = " + value_text(setting.value, style_of(setting.name)) + "\n";
        }
    }
}

void write_who(std::string& text, std::string_view name, const std::optional<grouping::Who>& who) {
    if (who) {
        text += std::string(name) + " = " +
                (who->number ? std::to_string(*who->number) : base::toml_quoted(who->name)) + "\n";
    }
}

void write_rule(std::string& text, const grouping::Rule& rule) {
    text += "[[rule]]\n";
    write_who(text, "user", rule.user);
    write_who(text, "group", rule.group);
    if (!rule.executable.empty()) {
        text += "executable = " + base::toml_quoted(rule.executable) + "\n";
    }
    if (!rule.unit.empty()) {
        text += "unit = " + base::toml_quoted(rule.unit) + "\n";
    }
    if (rule.action == grouping::RuleAction::ignore) {
        text += "ignore = true\n";
        return;
    }
    text += "place = { ";
    for (std::string_view separator = ""; const auto& [hierarchy, path] : rule.place) {
        text += std::string(separator) + key(hierarchy) + " = " + base::toml_quoted(path);
        separator = ", ";
    }
    text += " }\n";
}

}  // namespace

std::string write_tree(const grouping::DeclaredTree& tree, std::span<const grouping::Rule> rules,
                       std::span<const LeftOut> left_out, const StyleOf& style_of) {
    std::string text;
    for (const grouping::DeclaredHierarchy& hierarchy : tree) {
        text += text.empty() ? "" : "\n";
        write_hierarchy(text, hierarchy, left_out, style_of);
    }
    for (const grouping::Rule& rule : rules) {
        text += text.empty() ? "" : "\n";
        write_rule(text, rule);
    }
    return text;
}

}  // namespace gpcsup::config
