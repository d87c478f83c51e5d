#include "supervisor/configuration.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>

#include "config/load.h"
#include "controllers/describe.h"
#include "supervisor/declaration_json.h"

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

std::string text_of(const config::Location& place) {
    return fmt::format("{}:{}:{}", place.file, place.line, place.column);
}

DeclaredHierarchy taken_over(const config::HierarchyDeclaration& declared) {
    DeclaredHierarchy hierarchy{declared.name, declared.controllers, {}, text_of(declared.place)};
    if (!declared.release_agent.empty()) {
        hierarchy.groups.push_back(
            {"/", {{"group.release_agent", declared.release_agent}}, text_of(declared.place)});
    }
    for (const config::GroupDeclaration& group : declared.groups) {
        DeclaredGroup one{group.path, {}, text_of(group.place)};
        for (const config::LocatedSetting& setting : group.settings) {
            one.settings.push_back({setting.attribute, setting.value});
        }
        hierarchy.groups.push_back(std::move(one));
    }
    return hierarchy;
}

}  // namespace

base::Result<Configuration> Configuration::load(const Surroundings& here) {
    if (here.config_was_named && access(here.config->c_str(), R_OK) != 0) {
        return base::fail(errno, "read the configuration", *here.config);
    }
    const RegisteredAttributes catalogue;
    config::Loaded loaded = config::load({here.config.value_or(""), here.unit_directories}, &catalogue);
    Configuration configuration;
    for (const config::HierarchyDeclaration& declared : loaded.hierarchies) {
        configuration.hierarchies_.push_back(taken_over(declared));
    }
    for (const config::Located& problem : loaded.problems) {
        configuration.problems_.push_back(config::format(problem));
    }
    configuration.units_ = std::move(loaded.units);
    configuration.broken_ = std::move(loaded.broken);
    configuration.graph_ = std::move(loaded.graph);
    return configuration;
}

base::Result<Configuration> Configuration::restore(const journal::States& states) {
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
    configuration.graph_ = units::UnitGraph::build(configuration.units_, configuration.broken_).graph;
    return configuration;
}

void Configuration::record(Chronicle& chronicle) const {
    for (const units::Declaration& unit : units_) {
        chronicle.state("", "declared/" + unit.name, to_json(unit));
    }
    record_problems(chronicle);
}

void Configuration::record_problems(Chronicle& chronicle) const {
    Json broken = Json::array();
    for (const units::BrokenUnit& unit : broken_) {
        broken.push_back({{"name", unit.name}, {"reason", unit.reason}});
    }
    chronicle.state("", "configuration", {{"problems", problems_}, {"broken", broken}});
}

units::UnitGraph Configuration::take_graph() {
    units_.clear();  // the graph's own copies are enough from here on
    units_.shrink_to_fit();
    return std::move(graph_);
}

int check_files(const std::vector<std::string>& files, CheckOutput output) {
    const RegisteredAttributes catalogue;
    Json problems = Json::array();
    for (const std::string& file : files) {
        for (const config::Located& one : config::check_file(file, &catalogue)) {
            if (output == CheckOutput::lines) {
                fmt::print("{}\n", config::format(one));
            }
            problems.push_back({{"file", one.file},
                                {"line", one.line},
                                {"column", one.column},
                                {"key", one.key},
                                {"message", one.message}});
        }
    }
    if (output == CheckOutput::json) {
        fmt::print("{}\n", Json{{"schema", 1}, {"problems", problems}}.dump(-1, ' ', false,
                                                                            Json::error_handler_t::replace));
    } else if (problems.empty()) {
        fmt::print("{}\n", files.size() == 1 ? files.front() + " is fine"
                                             : fmt::format("all {} files are fine", files.size()));
    }
    return problems.empty() ? 0 : 1;
}

}  // namespace gpcsup::supervisor
