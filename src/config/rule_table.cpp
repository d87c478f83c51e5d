#include "config/rule_table.h"

#include <algorithm>
#include <array>

#include "base/suggestion.h"
#include "grouping/glob.h"

namespace gpcsup::config {

namespace {

constexpr std::array<std::string_view, 6> known_keys = {"user", "group", "executable",
                                                        "unit", "place", "ignore"};

std::string in_quotes(std::string_view text) {
    return "\"" + std::string(text) + "\"";
}

class RuleReader {
  public:
    RuleReader(const std::vector<std::string_view>& known, const base::Accounts* accounts)
        : known_(known), accounts_(accounts) {}

    RuleTable read(const Node& list) {
        if (list.kind != NodeKind::list) {
            problem(list.place, "rule", "rules are a list in order: write [[rule]], with two brackets");
            return std::move(result_);
        }
        for (const Node& item : list.items) {
            if (item.kind != NodeKind::table) {
                problem(item.place, "rule", "a rule is a table: write [[rule]] and its keys below");
            } else if (result_.rules.size() == most_rules) {
                problem(item.place, "rule", "there are more than 1000 rules: the rest is not read");
                break;
            } else {
                read_rule(item);
            }
        }
        return std::move(result_);
    }

  private:
    void problem(const Location& place, std::string key, std::string message) {
        result_.problems.push_back(
            {place.file, place.line, place.column, std::move(key), std::move(message)});
    }

    void read_rule(const Node& table) {
        grouping::Rule rule;
        rule.location = table.place.file + ":" + std::to_string(table.place.line);
        broken_ = false;
        for (const Entry& entry : table.entries) {
            read_key(entry, rule);
        }
        const bool ignores = rule.action == grouping::RuleAction::ignore;
        const Entry* place = table.find("place");
        if (ignores && place != nullptr) {
            refuse(place->place, "rule.place",
                   "a rule with ignore = true leaves processes where they are: it has no place");
        } else if (!ignores && place == nullptr && !broken_) {
            refuse(
                table.place, "rule",
                "the rule does not say where to: write place = { HIERARCHY = \"/PATH\" }, or ignore = true");
        }
        if (!broken_) {
            result_.rules.push_back(std::move(rule));
        }
    }

    void read_key(const Entry& entry, grouping::Rule& rule) {
        if (entry.key == "user") {
            rule.user = read_who(entry);
            if (rule.user && accounts_ != nullptr && !rule.user->number &&
                !accounts_->user_number(rule.user->name)) {
                unknown_account(entry, "user", rule.user->name, "id -u");
            }
        } else if (entry.key == "group") {
            rule.group = read_who(entry);
            if (rule.group && accounts_ != nullptr && !rule.group->number &&
                !accounts_->group_number(rule.group->name)) {
                unknown_account(entry, "group", rule.group->name, "getent group");
            }
        } else if (entry.key == "executable") {
            read_executable(entry, rule);
        } else if (entry.key == "unit") {
            read_unit(entry, rule);
        } else if (entry.key == "place") {
            read_place(entry, rule);
        } else if (entry.key == "ignore") {
            if (entry.value.kind != NodeKind::boolean) {
                return refuse(entry.value.place, "rule.ignore", "write ignore = true or ignore = false");
            }
            rule.action = entry.value.boolean ? grouping::RuleAction::ignore : grouping::RuleAction::place;
        } else {
            refuse_unknown(entry);
        }
    }

    void refuse_unknown(const Entry& entry) {
        const auto near = base::nearest(entry.key, known_keys);
        const bool is_place = std::ranges::find(known_, entry.key) != known_.end();
        refuse(entry.place, "rule." + entry.key,
               "unknown key " + in_quotes(entry.key) + " in [[rule]]" +
                   (is_place ? "; write place = { " + entry.key + " = \"/PATH\" }"
                    : near   ? "; did you mean " + in_quotes(*near) + "?"
                             : "; there are user, group, executable, unit, place and ignore"));
    }

    void unknown_account(const Entry& entry, std::string_view kind, const std::string& name,
                         std::string_view command) {
        problem(entry.value.place, "rule." + entry.key,
                "there is no " + std::string(kind) + " " + in_quotes(name) + " in /etc/" +
                    (kind == "user" ? "passwd" : "group") + "; rules look nowhere else: write the number (" +
                    std::string(command) + " " + name + "), or only units that name it are matched");
    }

    std::optional<grouping::Who> read_who(const Entry& entry) {
        const Node& value = entry.value;
        if (value.kind == NodeKind::integer && value.integer >= 0 && value.integer < 0xffffffff) {
            return grouping::parse_who(value.text);
        }
        if (value.kind == NodeKind::text && value.text.starts_with('@')) {
            refuse(value.place, "rule." + entry.key,
                   "a group is written group = " + in_quotes(value.text.substr(1)) + ", without @");
        } else if (value.kind == NodeKind::text && (value.text == "*" || value.text.empty())) {
            refuse(value.place, "rule." + entry.key, "leave " + entry.key + " out to match everybody");
        } else if (value.kind == NodeKind::text) {
            return grouping::parse_who(value.text);
        } else {
            refuse(value.place, "rule." + entry.key, "expected a name in quotes, or a number");
        }
        return std::nullopt;
    }

    void read_executable(const Entry& entry, grouping::Rule& rule) {
        const Node& value = entry.value;
        const std::string& text = value.text;
        if (value.kind != NodeKind::text || text.empty() || text.ends_with('/')) {
            refuse(value.place, "rule.executable",
                   "expected a program, as in executable = \"/usr/bin/make\" or \"make\"");
        } else if (!text.starts_with('/') && text.find('/') != std::string::npos) {
            refuse(value.place, "rule.executable",
                   "a path begins with /; a program of any directory is named without one: " +
                       in_quotes(text.substr(text.rfind('/') + 1)));
        } else if (text.find_first_of("*?[") != std::string::npos) {
            refuse(value.place, "rule.executable",
                   "a program is named exactly: patterns are for `unit` only");
        } else {
            rule.executable = text;
        }
    }

    void read_unit(const Entry& entry, grouping::Rule& rule) {
        if (entry.value.kind != NodeKind::text) {
            return refuse(entry.value.place, "rule.unit",
                          "expected a pattern in quotes, as in unit = \"ci-*\"");
        }
        if (auto good = grouping::check_glob(entry.value.text); !good) {
            return refuse(entry.value.place, "rule.unit", good.error().message());
        }
        rule.unit = entry.value.text;
    }

    void read_place(const Entry& entry, grouping::Rule& rule) {
        if (entry.value.kind != NodeKind::table) {
            return refuse(entry.value.place, "rule.place",
                          "say in which hierarchy: place = { HIERARCHY = \"/PATH\" }");
        }
        if (entry.value.entries.empty()) {
            return refuse(entry.value.place, "rule.place",
                          "the place is empty: write place = { HIERARCHY = \"/PATH\" }");
        }
        for (const Entry& part : entry.value.entries) {
            const std::string key = "rule.place." + part.key;
            if (part.key == "unit") {
                refuse(part.place, key,
                       "the hierarchy \"unit\" says who started a process: rules do not change it");
            } else if (std::ranges::find(known_, part.key) == known_.end()) {
                const auto near = base::nearest(part.key, known_);
                refuse(part.place, key,
                       "there is no hierarchy " + in_quotes(part.key) +
                           (near ? "; did you mean " + in_quotes(*near) + "?"
                                 : "; declare it: [hierarchy." + part.key + "]"));
            } else if (part.value.kind != NodeKind::text) {
                refuse(part.value.place, key, "the place is a path in quotes, as in \"/students/%u\"");
            } else if (auto good = grouping::check_place_template(part.value.text); !good) {
                refuse(part.value.place, key, good.error().message());
            } else {
                rule.place.emplace(part.key, part.value.text);
            }
        }
    }

    void refuse(const Location& place, std::string key, std::string message) {
        broken_ = true;
        problem(place, std::move(key), std::move(message));
    }

    const std::vector<std::string_view>& known_;
    const base::Accounts* accounts_;
    RuleTable result_;
    bool broken_ = false;  // the rule being read
};

}  // namespace

RuleTable read_rules(const Node& list, const std::vector<std::string_view>& known,
                     const base::Accounts* accounts) {
    return RuleReader(known, accounts).read(list);
}

}  // namespace gpcsup::config
