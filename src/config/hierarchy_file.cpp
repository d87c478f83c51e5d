#include "config/hierarchy_file.h"

#include <algorithm>
#include <array>
#include <map>
#include <variant>

#include "base/suggestion.h"
#include "config/document.h"
#include "grouping/names.h"

namespace gpcsup::config {

namespace {

std::string in_quotes(std::string_view text) {
    return "\"" + std::string(text) + "\"";
}

// What is wrong with a group's path; empty = nothing.
std::string path_fault(std::string_view path) {
    if (!path.starts_with('/')) {
        return "a group's path begins with /: write [hierarchy.NAME.group.\"/" + std::string(path) + "\"]";
    }
    if (path.size() > 1 && path.ends_with('/')) {
        return "a group's path ends with a name: write " + in_quotes(path.substr(0, path.size() - 1));
    }
    const auto parts = grouping::split_path(path);
    return parts ? std::string() : parts.error().message();
}

class HierarchyReader {
  public:
    HierarchyReader(const AttributeCatalogue* catalogue, const base::Accounts* accounts)
        : catalogue_(catalogue), accounts_(accounts) {}

    void read(const Node& root) {
        for (const Entry& entry : root.entries) {
            if (entry.key == "rule") {
                continue;  // they name hierarchies, which may come later
            }
            if (entry.key != "hierarchy") {
                constexpr std::array<std::string_view, 2> known = {"hierarchy", "rule"};
                const auto near = base::nearest(entry.key, known);
                problem(entry.place, entry.key,
                        "unknown key " + in_quotes(entry.key) + " in gpcsup.toml" +
                            (!near             ? "; units are declared in files of their own"
                             : *near == "rule" ? "; did you mean [[rule]]?"
                                               : "; did you mean [hierarchy.NAME]?"));
            } else if (entry.value.kind != NodeKind::table) {
                problem(entry.place, entry.key, "write [hierarchy.NAME] and its keys below");
            } else {
                for (const Entry& hierarchy : entry.value.entries) {
                    read_hierarchy(hierarchy);
                }
            }
        }
        if (const Entry* rules = root.find("rule")) {
            read_rules_of(rules->value);
        }
    }

    HierarchyFile take() { return std::move(result_); }
    void problem(const Location& place, std::string key, std::string message) {
        result_.problems.push_back(
            {place.file, place.line, place.column, std::move(key), std::move(message)});
    }

  private:
    void read_rules_of(const Node& list) {
        std::vector<std::string_view> known;
        for (const HierarchyDeclaration& hierarchy : result_.hierarchies) {
            known.push_back(hierarchy.name);
            known.insert(known.end(), hierarchy.controllers.begin(), hierarchy.controllers.end());
        }
        RuleTable table = read_rules(list, known, accounts_);
        result_.rules = std::move(table.rules);
        std::ranges::move(table.problems, std::back_inserter(result_.problems));
    }

    void read_hierarchy(const Entry& entry) {
        const std::string key = "hierarchy." + entry.key;
        if (entry.value.kind != NodeKind::table) {
            return problem(entry.place, key, "write [" + key + "] and its keys below");
        }
        if (auto checked = grouping::check_hierarchy_name(entry.key); !checked) {
            return problem(entry.place, key, checked.error().message());
        }
        if (entry.key == "unit") {
            return problem(entry.place, key, "the hierarchy \"unit\" is built in: it has one group a unit");
        }
        HierarchyDeclaration hierarchy;
        hierarchy.name = entry.key;
        hierarchy.place = entry.place;
        for (const Entry& part : entry.value.entries) {
            const std::string part_key = key + "." + part.key;
            if (part.key == "controllers") {
                read_controllers(part.value, part_key, hierarchy);
            } else if (part.key == "compat") {
                read_compat(part.value, part_key, hierarchy);
            } else if (part.key == "release_agent") {
                read_release_agent(part.value, part_key, hierarchy);
            } else if (part.key == "group") {
                read_groups(part.value, part_key, hierarchy);
            } else {
                constexpr std::array<std::string_view, 4> known = {"controllers", "compat", "release_agent",
                                                                   "group"};
                const auto near = base::nearest(part.key, known);
                const bool is_path = part.key.starts_with('/');
                problem(part.place, part_key,
                        "unknown key " + in_quotes(part.key) + " in [" + key + "]" +
                            (is_path ? "; a group is written [" + key + ".group." + in_quotes(part.key) + "]"
                             : near  ? "; did you mean " + in_quotes(*near) + "?"
                                     : ""));
            }
        }
        std::ranges::stable_sort(hierarchy.groups, [](const GroupDeclaration& a, const GroupDeclaration& b) {
            return std::ranges::count(a.path, '/') < std::ranges::count(b.path, '/');
        });
        result_.hierarchies.push_back(std::move(hierarchy));
    }

    void read_controllers(const Node& list, const std::string& key, HierarchyDeclaration& hierarchy) {
        if (list.kind != NodeKind::list) {
            return problem(list.place, key, "expected a list, as in controllers = [\"cpuset\", \"cpuacct\"]");
        }
        for (const Node& item : list.items) {
            if (item.kind != NodeKind::text) {
                problem(item.place, key, "every entry is the name of a controller in quotes");
            } else if (const auto taken = bound_.find(item.text); taken != bound_.end()) {
                problem(item.place, key,
                        "the controller " + in_quotes(item.text) + " is bound to " +
                            in_quotes(taken->second) + " already: it can be in one hierarchy only");
            } else if (!is_controller(item)) {
                const auto near =
                    base::nearest(item.text, std::vector<std::string_view>(names_.begin(), names_.end()));
                problem(item.place, key,
                        "there is no controller " + in_quotes(item.text) +
                            (near ? "; did you mean " + in_quotes(*near) + "?" : ""));
            } else {
                bound_.emplace(item.text, hierarchy.name);
                hierarchy.controllers.push_back(item.text);
            }
        }
    }

    bool is_controller(const Node& item) {
        if (catalogue_ == nullptr) {
            return true;
        }
        names_ = catalogue_->controllers();
        return std::ranges::find(names_, item.text) != names_.end();
    }

    void read_compat(const Node& value, const std::string& key, HierarchyDeclaration& hierarchy) {
        const auto compat = value.kind == NodeKind::text ? grouping::compat_named(value.text) : std::nullopt;
        if (!compat || *compat == grouping::Compat::none) {
            return problem(
                value.place, key,
                "write compat = \"2006\", in quotes, for the rules of 2006; today's need no such line");
        }
        hierarchy.compat = *compat;
    }

    void read_release_agent(const Node& value, const std::string& key, HierarchyDeclaration& hierarchy) {
        if (value.kind != NodeKind::text) {
            return problem(value.place, key, "write release_agent = \"/path/of/a/program\", in quotes");
        }
        if (catalogue_ != nullptr) {
            if (auto checked = catalogue_->check("group.release_agent", ValueKind::text, value.text);
                !checked) {
                return problem(value.place, key, checked.error().message());
            }
        }
        hierarchy.release_agent = value.text;
    }

    void read_groups(const Node& groups, const std::string& key, HierarchyDeclaration& hierarchy) {
        if (groups.kind != NodeKind::table) {
            return problem(groups.place, key, "a group is written [" + key + ".\"/NAME\"]");
        }
        for (const Entry& entry : groups.entries) {
            const std::string group_key = key + "." + in_quotes(entry.key);
            if (const std::string fault = path_fault(entry.key); !fault.empty()) {
                problem(entry.place, group_key, fault);
            } else if (entry.value.kind != NodeKind::table) {
                problem(entry.place, group_key,
                        "a group is a table: write [" + group_key + "] and its attributes below");
            } else {
                GroupDeclaration group{entry.key, {}, entry.place};
                group.settings =
                    read_attribute_settings(entry.value, group_key + ".", catalogue_, result_.problems);
                hierarchy.groups.push_back(std::move(group));
            }
        }
    }

    const AttributeCatalogue* catalogue_;
    const base::Accounts* accounts_;
    HierarchyFile result_;
    std::map<std::string, std::string> bound_;  // controller → hierarchy
    std::vector<std::string> names_;
};

// An attribute can only be set in the hierarchy that its controller drives.
void check_settings(HierarchyFile& file) {
    for (HierarchyDeclaration& hierarchy : file.hierarchies) {
        for (GroupDeclaration& group : hierarchy.groups) {
            std::erase_if(group.settings, [&](const LocatedSetting& setting) {
                const std::string controller = setting.attribute.substr(0, setting.attribute.find('.'));
                if (controller == "group" ||
                    std::ranges::find(hierarchy.controllers, controller) != hierarchy.controllers.end()) {
                    return false;
                }
                file.problems.push_back({setting.place.file, setting.place.line, setting.place.column,
                                         "hierarchy." + hierarchy.name + ".group." + in_quotes(group.path) +
                                             "." + setting.attribute,
                                         "the controller " + in_quotes(controller) +
                                             " is not among the controllers of " +
                                             in_quotes(hierarchy.name)});
                return true;
            });
        }
    }
}

}  // namespace

HierarchyFile read_hierarchies(std::string_view file, std::string_view text,
                               const AttributeCatalogue* catalogue, const base::Accounts* accounts) {
    const auto parsed = parse_document(text, file);
    HierarchyReader reader(catalogue, accounts);
    if (const auto* problem = std::get_if<Located>(&parsed)) {
        HierarchyFile result;
        result.problems.push_back(*problem);
        return result;
    }
    reader.read(std::get<Node>(parsed));
    HierarchyFile result = reader.take();
    check_settings(result);
    return result;
}

}  // namespace gpcsup::config
