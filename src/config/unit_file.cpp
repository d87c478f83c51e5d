#include "config/unit_file.h"

#include <algorithm>
#include <optional>
#include <set>
#include <variant>

#include "base/suggestion.h"
#include "config/document.h"
#include "config/explain.h"
#include "config/shell_words.h"
#include "grouping/names.h"
#include "units/names.h"
#include "units/settings.h"

namespace gpcsup::config {

namespace {

using units::SettingRow;
using units::SettingType;
using units::SettingValue;

std::string in_quotes(std::string_view text) {
    return "\"" + std::string(text) + "\"";
}

std::string where(std::string_view section) {
    return section.empty() ? "at the top of the file" : "in [" + std::string(section) + "]";
}

// The right spelling for a number where a duration is meant.
std::string with_unit(const Node& node) {
    if (node.kind == NodeKind::real) {
        const auto milliseconds = static_cast<std::int64_t>(std::clamp(node.real * 1000, 0.0, 1e15));
        return in_quotes(std::to_string(milliseconds) + "ms");
    }
    return in_quotes(node.text + "s");
}

class UnitReader {
  public:
    UnitReader(std::string_view name, const AttributeCatalogue* catalogue) : catalogue_(catalogue) {
        unit_.declaration.name = name;
        unit_.declaration.kind = units::UnitKind::target;
    }

    void read(const SourceText& source) {
        const auto parsed = parse_document(source.text, source.file);
        if (const auto* problem = std::get_if<Located>(&parsed)) {
            unit_.problems.push_back(*problem);
            return;
        }
        for (const Entry& entry : std::get<Node>(parsed).entries) {
            if (std::ranges::find(units::sections(), entry.key) != units::sections().end()) {
                read_section(entry);
            } else if (const SettingRow* row = units::find_setting("", entry.key)) {
                assign(*row, entry);
            } else {
                refuse_unknown("", entry);
            }
        }
    }

    UnitFile finish(const Location& main_file, Whole whole) {
        if (whole == Whole::unit) {
            check_whole(main_file);
        }
        for (const LocatedSetting& limit : unit_.limits) {
            unit_.declaration.limits.edit().push_back({limit.attribute, limit.value});
        }
        return std::move(unit_);
    }

  private:
    void check_whole(const Location& main_file) {
        const units::Declaration& declaration = unit_.declaration;
        const bool is_service = declaration.kind == units::UnitKind::service;
        if (is_service && declaration.command.empty() &&
            !units::was_given(declaration, *units::find_setting("service", "command")) &&
            unit_.problems.empty()) {
            problem(service_place_.value_or(main_file), "service.command",
                    "a service needs a command, as in command = [\"/usr/bin/program\", \"argument\"]");
        }
        if (!is_service && declaration.name != "default" && !unit_.limits.empty()) {
            problem(unit_.limits.front().place, "limits", "a target has no processes to limit");
        }
    }

    void problem(const Location& place, std::string key, std::string message) {
        unit_.problems.push_back({place.file, place.line, place.column, std::move(key), std::move(message)});
    }

    void read_section(const Entry& section) {
        if (section.value.kind != NodeKind::table) {
            return problem(section.place, section.key,
                           section.key + " is a section: write [" + section.key + "] and its keys below");
        }
        if (section.key == "place") {
            return read_place(section.value);
        }
        if (section.key == "limits") {
            return read_limits(section.value);
        }
        if (section.key == "service") {
            unit_.declaration.kind = units::UnitKind::service;
            service_place_ = service_place_.value_or(section.place);
        }
        for (const Entry& entry : section.value.entries) {
            if (const SettingRow* row = units::find_setting(section.key, entry.key)) {
                assign(*row, entry);
            } else {
                refuse_unknown(section.key, entry);
            }
        }
    }

    void read_place(const Node& table) {
        for (const Entry& entry : table.entries) {
            const std::string key = "place." + entry.key;
            const std::string& path = entry.value.text;
            if (entry.value.kind != NodeKind::text) {
                problem(entry.value.place, key,
                        "the place is a path in quotes, as in " + entry.key + " = \"/acme\"");
            } else if (entry.key == "unit") {
                problem(entry.place, key, "every unit has its own group in the hierarchy \"unit\" already");
            } else if (!path.starts_with('/')) {
                const std::size_t colon = path.find(':');
                const std::string right = colon == std::string::npos ? "/" + path : path.substr(colon + 1);
                problem(entry.value.place, key,
                        "a path begins with /: write " + entry.key + " = " + in_quotes(right));
            } else if (auto parts = grouping::split_path(path); !parts) {
                problem(entry.value.place, key, parts.error().message());
            } else {
                const bool closed = path.size() > 1 && path.ends_with('/');  // "/acme/" is "/acme"
                unit_.declaration.place.edit().insert_or_assign(
                    entry.key, path.substr(0, path.size() - (closed ? 1 : 0)));
                unit_.places.insert_or_assign(key, entry.place);
            }
        }
    }

    void read_limits(const Node& table) {
        for (LocatedSetting& limit : read_attribute_settings(table, "limits.", catalogue_, unit_.problems)) {
            std::erase_if(unit_.limits,
                          [&](const auto& known) { return known.attribute == limit.attribute; });
            unit_.places.insert_or_assign("limits." + limit.attribute, limit.place);
            unit_.limits.push_back(std::move(limit));
        }
    }

    void assign(const SettingRow& row, const Entry& entry) {
        const std::string key = units::full_key(row);
        std::optional<SettingValue> value = convert(row, key, entry);
        if (!value) {
            return;  // convert said why
        }
        merge(row, *value);
        if (base::Result<> assigned = row.assign(unit_.declaration, *value); !assigned) {
            return problem(entry.value.place, key, assigned.error().message());
        }
        units::note_given(unit_.declaration, row);
        unit_.places.insert_or_assign(key, entry.place);
        for (const Node& item : entry.value.items) {
            unit_.places.insert_or_assign(key + " " + item.text, item.place);
        }
        if (key == "service.enforce") {
            check_controllers(entry.value);
        }
    }

    // What a drop-in adds to rather than replaces.
    void merge(const SettingRow& row, SettingValue& value) {
        if (row.section == "depends" && units::was_given(unit_.declaration, row)) {
            auto& added = std::get<std::vector<std::string>>(value);
            std::vector<std::string> all = edges(row.key);
            for (std::string& name : added) {
                if (std::ranges::find(all, name) == all.end()) {
                    all.push_back(std::move(name));
                }
            }
            added = std::move(all);
        } else if (row.type == SettingType::map) {
            auto& added = std::get<std::map<std::string, std::string>>(value);
            auto all = *unit_.declaration.environment;  // the only map there is
            all.merge(std::map(added));
            for (auto& [name, text] : added) {
                all[name] = text;
            }
            added = std::move(all);
        }
    }

    const std::vector<std::string>& edges(std::string_view key) const {
        const units::Edges& depends = unit_.declaration.depends;
        const std::pair<std::string_view, const units::Words*> lists[] = {
            {"requires", &depends.requires_}, {"wants", &depends.wants},   {"binds", &depends.binds},
            {"after", &depends.after},        {"before", &depends.before}, {"conflicts", &depends.conflicts}};
        return **std::ranges::find(lists, key, [](const auto& list) { return list.first; })->second;
    }

    void check_controllers(const Node& list) {
        if (catalogue_ == nullptr) {
            return;
        }
        const std::vector<std::string> controllers = catalogue_->controllers();
        const std::vector<std::string_view> known(controllers.begin(), controllers.end());
        for (const Node& item : list.items) {
            if (std::ranges::find(known, item.text) == known.end()) {
                const auto near = base::nearest(item.text, known);
                problem(item.place, "service.enforce",
                        "there is no controller " + in_quotes(item.text) +
                            (near ? "; did you mean " + in_quotes(*near) + "?" : ""));
            }
        }
    }

    std::optional<SettingValue> convert(const SettingRow& row, const std::string& key, const Entry& entry) {
        const Node& node = entry.value;
        switch (row.type) {
            case SettingType::boolean:
                if (node.kind == NodeKind::boolean) {
                    return node.boolean;
                }
                break;
            case SettingType::number:
                if (node.kind == NodeKind::integer) {
                    return node.integer;
                }
                break;
            case SettingType::text:
            case SettingType::word:
            case SettingType::duration:
            case SettingType::timeout:
            case SettingType::octal:
            case SettingType::rate:
                if (node.kind == NodeKind::text) {
                    return node.text;
                }
                break;
            case SettingType::command:
                if (node.kind == NodeKind::text) {
                    return convert_command(key, node);
                }
                return convert_list(row, key, node);
            case SettingType::unit_names:
            case SettingType::words:
                return convert_list(row, key, node);
            case SettingType::map:
                return convert_map(row, key, node);
            case SettingType::any_key:
                break;
        }
        problem(node.place, key, wrong_type(row, node));
        return std::nullopt;
    }

    static std::string wrong_type(const SettingRow& row, const Node& node) {
        const std::string key(row.key);
        const bool is_number = node.kind == NodeKind::integer || node.kind == NodeKind::real;
        if ((row.type == SettingType::duration || row.type == SettingType::timeout) && is_number) {
            return "a duration needs a unit: if seconds are meant, write " + key + " = " + with_unit(node);
        }
        if (row.key == "restart" && node.kind == NodeKind::boolean) {
            return node.boolean ? "write restart = \"always\" or restart = \"on-failure\""
                                : "write restart = \"no\"";
        }
        if (row.type == SettingType::boolean && node.kind == NodeKind::text) {
            return "write " + key + " = true or " + key + " = false, without quotes";
        }
        if (row.type == SettingType::number && node.kind == NodeKind::text) {
            return "write " + key + " = " + node.text + " without quotes";
        }
        if (row.type == SettingType::octal && is_number) {
            return "write " + key + " = \"022\": an octal number is written in quotes";
        }
        if (row.type == SettingType::rate && is_number) {
            return "write " + key + " = " + in_quotes(node.text + "/10s") +
                   ": a number of starts in a duration";
        }
        return "expected " + std::string(units::type_text(row.type)) + ", found " +
               std::string(kind_text(node.kind));
    }

    std::optional<SettingValue> convert_command(const std::string& key, const Node& node) {
        base::Result<std::vector<std::string>> words = split_words(node.text);
        if (!words) {
            problem(node.place, key, words.error().message());
            return std::nullopt;
        }
        return std::move(*words);
    }

    std::optional<SettingValue> convert_list(const SettingRow& row, const std::string& key,
                                             const Node& node) {
        if (node.kind == NodeKind::text) {
            problem(node.place, key,
                    "expected a list: write " + std::string(row.key) + " = [" + in_quotes(node.text) + "]");
            return std::nullopt;
        }
        if (node.kind != NodeKind::list) {
            problem(node.place, key, wrong_type(row, node));
            return std::nullopt;
        }
        std::vector<std::string> list;
        for (const Node& item : node.items) {
            if (item.kind != NodeKind::text) {
                problem(item.place, key,
                        "every entry is a string in quotes" +
                            (item.text.empty() ? std::string() : ": write " + in_quotes(item.text)));
                return std::nullopt;
            }
            list.push_back(item.text);
        }
        return list;
    }

    std::optional<SettingValue> convert_map(const SettingRow& row, const std::string& key, const Node& node) {
        if (node.kind != NodeKind::table) {
            problem(node.place, key,
                    "expected a table: write " + std::string(row.key) +
                        " = { NAME = \"value\", OTHER = \"value\" }");
            return std::nullopt;
        }
        std::map<std::string, std::string> map;
        for (const Entry& entry : node.entries) {
            if (entry.value.kind != NodeKind::text) {
                problem(entry.value.place, key + "." + entry.key,
                        "the value of a variable is a string in quotes" +
                            (entry.value.text.empty() ? std::string()
                                                      : ": write " + in_quotes(entry.value.text)));
                return std::nullopt;
            }
            map.emplace(entry.key, entry.value.text);
        }
        return map;
    }

    void refuse_unknown(std::string_view section, const Entry& entry) {
        const std::string key = (section.empty() ? "" : std::string(section) + ".") + entry.key;
        const bool is_section = entry.value.kind == NodeKind::table && section.empty();
        const std::string name =
            is_section ? "section [" + entry.key + "]" : "key " + in_quotes(entry.key) + " " + where(section);
        problem(entry.place, key, "unknown " + name + hint(section, entry));
    }

    // In order of certainty: known elsewhere, known to another system, nearly known.
    std::string hint(std::string_view section, const Entry& entry) const {
        for (std::string_view other : std::initializer_list<std::string_view>{"", "service", "depends"}) {
            if (other != section && units::find_setting(other, entry.key) != nullptr) {
                return "; it belongs " + where(other);
            }
        }
        const bool is_table = entry.value.kind == NodeKind::table;
        if (const auto foreign = is_table && section.empty() ? explain_foreign_section(entry.key)
                                                             : explain_foreign_key(entry.key)) {
            return "; " + std::string(*foreign);
        }
        if (is_controller(entry.key.substr(0, entry.key.find('.')))) {
            return "; limits belong in [limits], as in numtasks.limit = 16";
        }
        std::vector<std::string_view> known;
        for (const SettingRow& row : units::settings()) {
            if (row.section == section && row.type != SettingType::any_key) {
                known.push_back(row.key);
            }
        }
        if (section.empty()) {
            known.insert(known.end(), units::sections().begin(), units::sections().end());
        }
        const auto near = base::nearest(entry.key, known);
        return near ? "; did you mean " + in_quotes(*near) + "?" : "";
    }

    bool is_controller(std::string_view word) const {
        if (catalogue_ == nullptr) {
            return false;
        }
        const std::vector<std::string> controllers = catalogue_->controllers();
        return std::ranges::find(controllers, word) != controllers.end();
    }

    const AttributeCatalogue* catalogue_;
    UnitFile unit_;
    std::optional<Location> service_place_;
};

}  // namespace

UnitFile read_unit(std::string_view name, std::span<const SourceText> texts,
                   const AttributeCatalogue* catalogue, Whole whole) {
    UnitReader reader(name, catalogue);
    Location main_file;
    if (!texts.empty()) {
        main_file.file = texts.front().file;
    }
    for (const SourceText& text : texts) {
        reader.read(text);
    }
    UnitFile unit = reader.finish(main_file, whole);
    if (base::Result<> checked = units::check_unit_name(name); !checked) {
        unit.problems.push_back({main_file.file, 1, 1, "", checked.error().message()});
    }
    return unit;
}

}  // namespace gpcsup::config
