#include "supervisor/run_request.h"

#include <nlohmann/json.hpp>

#include "grouping/names.h"
#include "units/names.h"

namespace gpcsup::supervisor {

base::Result<RunRequest> parse_run_request(std::string_view text) {
    using Json = nlohmann::json;
    const Json json = Json::parse(text, nullptr, false);
    if (!json.is_object()) {
        return base::refuse(EINVAL, "a run request is a JSON object");
    }
    RunRequest request;
    units::Declaration& unit = request.declaration;
    try {
        unit.name = json.value("name", "");
        unit.command = json.value("command", std::vector<std::string>());
        unit.directory = json.value("directory", "");
        unit.environment = json.value("environment", std::map<std::string, std::string>());
        unit.environment_only = json.value("environment_only", false);
        unit.user = json.value("user", "");
        unit.terminal = json.value("terminal", false);
        for (const auto& [attribute, value] : json.value("limits", std::map<std::string, std::string>())) {
            unit.limits.edit().push_back({attribute, value});
        }
        for (const std::string& group : json.value("groups", std::vector<std::string>())) {
            auto address = grouping::split_address(group);
            if (!address) {
                return base::pass(address);
            }
            unit.place.edit()[std::string(address->hierarchy)] = address->path;
        }
        request.token = json.value("token", std::uint64_t{0});
        if (json.value("detach", false)) {
            request.client = RunRequest::Client::detached;
        }
    } catch (const Json::exception& error) {
        return base::refuse(EINVAL,
                            std::string("a run request has values of the wrong type: ") + error.what());
    }
    if (unit.command.empty() || unit.command.front().empty()) {
        return base::refuse(EINVAL, "run what? the command is empty");
    }
    if (!unit.name.empty()) {
        if (auto valid = units::check_unit_name(unit.name); !valid) {
            return base::pass(valid);
        }
    }
    unit.description = unit.command.front();
    unit.type = units::ServiceType::simple;
    unit.restart = units::RestartPolicy::no;
    return request;
}

}  // namespace gpcsup::supervisor
