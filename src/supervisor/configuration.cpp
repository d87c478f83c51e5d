#include "supervisor/configuration.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "config/load.h"
#include "controllers/controller.h"
#include "controllers/describe.h"
#include "supervisor/declaration_json.h"
#include "supervisor/declared_json.h"
#include "supervisor/records.h"
#include "sys/local_accounts.h"

namespace gpcsup::supervisor {

namespace {

// What the controllers' registry says to room config.
class RegisteredAttributes final : public config::AttributeCatalogue {
  public:
    base::Result<std::string> check(std::string_view attribute, config::ValueKind,
                                    std::string_view text) const override {
        auto row = controllers::find_attribute(attribute);
        if (!row) {
            return base::pass(row);
        }
        auto value = controllers::parse_value(attribute, **row, text);
        if (!value) {
            return base::pass(value);
        }
        if ((*row)->kept == controllers::Kept::by_controller) {
            return base::refuse(
                EINVAL, std::string(attribute) + " is no setting of a file: it is done at run time",
                fmt::format("gpcsup set HIERARCHY:PATH {}={}", attribute, controllers::format_value(*value)));
        }
        return controllers::format_value(*value);
    }
    std::vector<std::string> names() const override {
        std::vector<std::string> list;
        for (const auto& one : controllers::describe_attributes()) {
            list.push_back(one.name);
        }
        return list;
    }
    std::vector<std::string> controllers() const override {
        std::vector<std::string> list;
        for (const std::string_view one : controllers::controller_names()) {
            list.emplace_back(one);
        }
        return list;
    }
};

std::string location_of(const config::Location& place) {
    return fmt::format("{}:{}:{}", place.file, place.line, place.column);
}

grouping::DeclaredHierarchy taken_over(const config::HierarchyDeclaration& declared) {
    grouping::DeclaredHierarchy hierarchy{
        declared.name, declared.controllers, {}, location_of(declared.place), declared.compat};
    if (!declared.release_agent.empty()) {
        hierarchy.groups.push_back(
            {"/", {{"group.release_agent", declared.release_agent}}, location_of(declared.place)});
    }
    for (const config::GroupDeclaration& group : declared.groups) {
        grouping::DeclaredGroup one{group.path, {}, location_of(group.place)};
        for (const config::LocatedSetting& setting : group.settings) {
            one.settings.push_back({setting.attribute, setting.value});
        }
        hierarchy.groups.push_back(std::move(one));
    }
    return hierarchy;
}

// A file of 1 MiB may say more than one record holds: the text is cut in parts, and their number is written
// last.
constexpr std::size_t part_size = std::size_t{256} << 10;

void add_parts(Configuration::Records& records, const std::string& key, const Json& json) {
    const std::string text = text_of(json);
    std::size_t count = 0;
    for (std::size_t at = 0; at < text.size(); at += part_size) {
        records.emplace_back(fmt::format("{}/{:04}", key, count++), text.substr(at, part_size));
    }
    records.emplace_back(key, text_of({{"parts", count}}));
}

// Nothing declared when there is no such record.
Json parts_joined(const journal::States& states, const std::string& key) {
    std::string text;
    std::size_t count = 0;
    if (const auto head = states.find(key); head != states.end()) {
        const Json body = Json::parse(head->second.body, nullptr, false);
        count = body.is_object() ? body.value("parts", std::size_t{0}) : 0;
    }
    for (std::size_t part = 0; part < count; ++part) {
        const auto found = states.find(fmt::format("{}/{:04}", key, part));
        text += found == states.end() ? "" : found->second.body;
    }
    return count == 0 ? Json{{"list", Json::array()}} : Json::parse(text, nullptr, false);
}

}  // namespace

base::Result<Configuration> Configuration::load(const Surroundings& here) {
    if (here.config_was_named && access(here.config->c_str(), R_OK) != 0) {
        return base::fail(errno, "read the configuration", *here.config);
    }
    const RegisteredAttributes catalogue;
    sys::LocalAccounts accounts;
    accounts.refresh();
    config::Loaded loaded =
        config::load({here.config.value_or(""), here.unit_directories}, &catalogue, &accounts);
    Configuration configuration;
    for (const config::HierarchyDeclaration& declared : loaded.hierarchies) {
        configuration.hierarchies_.push_back(taken_over(declared));
    }
    configuration.rules_ = std::move(loaded.rules);
    for (const config::Located& problem : loaded.problems) {
        configuration.problems_.push_back(config::format(problem));
    }
    configuration.located_ = std::move(loaded.problems);
    configuration.units_ = std::move(loaded.units);
    configuration.broken_ = std::move(loaded.broken);
    configuration.graph_ = std::move(loaded.graph);
    return configuration;
}

base::Result<Configuration> Configuration::restore(const journal::States& states) {
    return guarded("the recorded configuration", [&states] { return read_back(states); });
}

base::Result<Configuration> Configuration::read_back(const journal::States& states) {
    Configuration configuration;
    for (auto at = states.lower_bound("declared/"); at != states.end() && at->first.starts_with("declared/");
         ++at) {
        auto unit = declaration_from_json(Json::parse(at->second.body, nullptr, false));
        if (!unit) {
            return base::pass(unit);
        }
        configuration.units_.push_back(std::move(*unit));
    }
    if (const auto found = states.find("configuration"); found != states.end()) {
        const Json json = Json::parse(found->second.body, nullptr, false);
        configuration.problems_ = json.value("problems", std::vector<std::string>());
        for (const Json& one : json.value("broken", Json::array())) {
            configuration.broken_.push_back({one.value("name", ""), one.value("reason", "")});
        }
    }
    std::erase_if(configuration.units_, [&](const units::Declaration& unit) {
        return std::ranges::find(configuration.broken_, unit.name, &units::BrokenUnit::name) !=
               configuration.broken_.end();
    });
    auto tree = tree_from_json(parts_joined(states, "tree"));
    if (!tree) {
        return base::pass(tree);
    }
    auto rules = rules_from_json(parts_joined(states, "rules"));
    if (!rules) {
        return base::pass(rules);
    }
    configuration.hierarchies_ = std::move(*tree);
    configuration.rules_ = std::move(*rules);
    configuration.graph_ = units::UnitGraph::build(configuration.units_, configuration.broken_).graph;
    return configuration;
}

void Configuration::record(Chronicle& chronicle) const {
    for (const units::Declaration& unit : units_) {
        chronicle.state("", "declared/" + unit.name, to_json(unit));
    }
    record_tree(chronicle);
}

void Configuration::record_tree(Chronicle& chronicle) const {
    for (const auto& [key, body] : tree_records()) {
        chronicle.keep(key, body);
    }
}

void Configuration::record_problems(Chronicle& chronicle) const {
    chronicle.keep("configuration", problems_record());
}

Configuration::Records Configuration::tree_records() const {
    Records records;
    add_parts(records, "tree", to_json(hierarchies_));
    add_parts(records, "rules", to_json(rules_));
    records.emplace_back("configuration", problems_record());
    return records;
}

std::string Configuration::problems_record() const {
    Json broken = Json::array();
    for (const units::BrokenUnit& unit : broken_) {
        broken.push_back({{"name", unit.name}, {"reason", unit.reason}});
    }
    return text_of(Json{{"problems", problems_}, {"broken", broken}});
}

units::UnitGraph Configuration::take_graph() {
    units_.clear();  // the graph's own copies are enough from here on
    units_.shrink_to_fit();
    return std::move(graph_);
}

Json to_json(const config::Located& problem) {
    return {{"file", problem.file},
            {"line", problem.line},
            {"column", problem.column},
            {"key", problem.key},
            {"message", problem.message}};
}

int check_files(const std::vector<std::string>& files, CheckOutput output) {
    const RegisteredAttributes catalogue;
    sys::LocalAccounts accounts;
    accounts.refresh();
    Json problems = Json::array();
    for (const std::string& file : files) {
        for (const config::Located& one : config::check_file(file, &catalogue, &accounts)) {
            if (output == CheckOutput::lines) {
                fmt::print("{}\n", config::format(one));
            }
            problems.push_back(to_json(one));
        }
    }
    if (output == CheckOutput::json) {
        fmt::print("{}\n", text_of({{"schema", 1}, {"problems", problems}}));
    } else if (problems.empty()) {
        fmt::print("{}\n", files.size() == 1 ? files.front() + " is fine"
                                             : fmt::format("all {} files are fine", files.size()));
    }
    return problems.empty() ? 0 : 1;
}

}  // namespace gpcsup::supervisor
