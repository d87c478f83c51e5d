// What a declaration amounts to, and in what two of them differ: the table of settings.cpp, read.
#include "units/settings.h"

namespace gpcsup::units {

std::vector<EffectiveSetting> effective_settings(const Declaration& declaration, Audience audience) {
    std::vector<EffectiveSetting> result;
    for (const SettingRow& row : settings()) {
        const bool service_only = row.section == "service" && declaration.kind != UnitKind::service;
        if (row.print != nullptr && !service_only && row.audience <= audience) {
            const std::string key = full_key(row);
            result.push_back({key, row.print(declaration), !was_given(declaration, row)});
        }
        if (row.section == "place") {
            for (const auto& [hierarchy, path] : declaration.place) {
                result.push_back({"place." + hierarchy, path, false});
            }
        }
        if (row.section == "limits") {
            for (const Setting& limit : declaration.limits) {
                result.push_back({"limits." + limit.attribute, limit.value, false});
            }
        }
    }
    return result;
}

std::vector<Difference> differences(const Declaration& before, const Declaration& after) {
    std::vector<Difference> result;
    if (before.kind != after.kind) {
        result.push_back({"service", Applies::at_start});
    }
    for (const SettingRow& row : settings()) {
        if (row.print != nullptr && row.print(before) != row.print(after)) {
            result.push_back({full_key(row), row.applies});
        }
    }
    if (before.place != after.place) {
        result.push_back({"place", Applies::at_start});
    }
    if (before.limits != after.limits) {
        result.push_back({"limits", Applies::at_once});
    }
    return result;
}

}  // namespace gpcsup::units
