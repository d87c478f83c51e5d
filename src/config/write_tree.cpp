#include "config/write_tree.h"

#include <algorithm>
#include <array>

namespace gpcsup::config {

namespace {

std::string in_quotes(std::string_view text) {
    constexpr std::string_view digits = "0123456789abcdef";
    std::string quoted = "\"";
    for (const char c : text) {
        const auto byte = static_cast<unsigned char>(c);
        if (c == '"' || c == '\\') {
            quoted += '\\';
            quoted += c;
        } else if (byte < 0x20 || byte == 0x7f) {
            quoted += "\\u00";
            quoted += digits[byte >> 4];
            quoted += digits[byte & 15];
        } else {
            quoted += c;
        }
    }
    return quoted + '"';
}

bool is_bare_key(std::string_view key) {
    return !key.empty() && std::ranges::all_of(key, [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
               c == '-';
    });
}

std::string key(std::string_view name) {
    return is_bare_key(name) ? std::string(name) : in_quotes(name);
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
    return style == ValueStyle::bare && can_be_bare(value) ? std::string(value) : in_quotes(value);
}

void write_hierarchy(std::string& text, const grouping::DeclaredHierarchy& hierarchy,
                     std::span<const LeftOut> left_out, const StyleOf& style_of) {
    const std::string head = "hierarchy." + key(hierarchy.name);
    text += "[" + head + "]\ncontrollers = [";
    for (std::size_t at = 0; at < hierarchy.controllers.size(); ++at) {
        text += (at == 0 ? "" : ", ") + in_quotes(hierarchy.controllers[at]);
    }
    text += "]\n";
    for (const grouping::DeclaredGroup& group : hierarchy.groups) {
        const auto left = std::ranges::find(left_out, hierarchy.name + ":" + group.path, &LeftOut::group);
        if (left != left_out.end()) {
            text += "# " + in_quotes(left->group) + ": " + left->note + "\n";
            continue;
        }
        if (group.path == "/" && group.settings.empty()) {
            continue;  // the root is always there
        }
        text += "[" + head + ".group." + in_quotes(group.path) + "]\n";
        for (const grouping::DeclaredSetting& setting : group.settings) {
            text += setting.name + " = " + value_text(setting.value, style_of(setting.name)) + "\n";
        }
    }
}

void write_who(std::string& text, std::string_view name, const std::optional<grouping::Who>& who) {
    if (who) {
        text += std::string(name) + " = " +
                (who->number ? std::to_string(*who->number) : in_quotes(who->name)) + "\n";
    }
}

void write_rule(std::string& text, const grouping::Rule& rule) {
    text += "[[rule]]\n";
    write_who(text, "user", rule.user);
    write_who(text, "group", rule.group);
    if (!rule.executable.empty()) {
        text += "executable = " + in_quotes(rule.executable) + "\n";
    }
    if (!rule.unit.empty()) {
        text += "unit = " + in_quotes(rule.unit) + "\n";
    }
    if (rule.action == grouping::RuleAction::ignore) {
        text += "ignore = true\n";
        return;
    }
    text += "place = { ";
    for (std::string_view separator = ""; const auto& [hierarchy, path] : rule.place) {
        text += std::string(separator) + key(hierarchy) + " = " + in_quotes(path);
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
