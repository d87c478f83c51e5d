#include "grouping/making.h"

#include <algorithm>

namespace gpcsup::grouping {

namespace {

constexpr std::string_view root_path = "/";

std::string parent_of(const std::string& path) {
    const std::size_t slash = path.rfind('/');
    return slash == 0 ? std::string(root_path) : path.substr(0, slash);
}

const std::string* find(const AttributeValues& values, const std::string& name) {
    const auto found = values.find(name);
    return found == values.end() ? nullptr : &found->second;
}

std::vector<DeclaredSetting> settings_of(const AttributeValues& values) {
    std::vector<DeclaredSetting> settings;
    for (const auto& [name, value] : values) {
        settings.push_back({name, value});
    }
    return settings;
}

}  // namespace

AttributeValues values_of(const DeclaredGroup& group) {
    AttributeValues values;
    for (const DeclaredSetting& setting : group.settings) {
        values[setting.name] = setting.value;
    }
    return values;
}

AttributeValues born_with(const AttributeValues& parent, const Defaults& defaults) {
    const Making& making = defaults.making;
    AttributeValues child;
    const auto copy = [&](const std::string& name) {
        const std::string* value = find(parent, name);
        if (value != nullptr && *value != defaults.of(name)) {
            child[name] = *value;
        }
    };
    std::ranges::for_each(making.inherited, copy);
    const std::string* clones = find(parent, std::string(clone_switch));
    if (clones != nullptr && *clones == "true") {
        std::ranges::for_each(making.cloned, copy);
    }
    return child;
}

DeclaredHierarchy as_made(const DeclaredHierarchy& declared, const Making& making) {
    struct Made {
        AttributeValues said;
        std::string location;
    };
    std::map<std::string, Made> groups;  // a path sorts after those above it
    groups[std::string(root_path)].location = declared.location;
    for (const DeclaredGroup& group : declared.groups) {
        for (std::size_t end = group.path.find('/', 1); end != std::string::npos;
             end = group.path.find('/', end + 1)) {
            groups.try_emplace(group.path.substr(0, end), Made{{}, group.location});
        }
        Made& made = groups[group.path];
        made.location = group.location;
        for (const DeclaredSetting& setting : group.settings) {
            made.said[setting.name] = setting.value;
        }
    }
    DeclaredHierarchy result{declared.name, declared.controllers, {}, declared.location, declared.compat};
    std::map<std::string, AttributeValues> all;
    for (auto& [path, made] : groups) {
        AttributeValues values = std::move(made.said);
        if (path != root_path) {
            values.merge(
                born_with(all[parent_of(path)], {making, declared.compat, path}));  // what is said stays
        }
        result.groups.push_back({path, settings_of(values), made.location});
        all[path] = std::move(values);
    }
    return result;
}

DeclaredHierarchy as_declared(const DeclaredHierarchy& actual, const Making& making,
                              const std::set<std::string>& left_out) {
    DeclaredHierarchy result = actual;
    std::ranges::sort(result.groups, {}, &DeclaredGroup::path);
    std::map<std::string, AttributeValues> made;  // as the result makes them
    for (DeclaredGroup& group : result.groups) {
        const Defaults defaults{making, actual.compat, group.path};
        const AttributeValues born =
            group.path == root_path ? AttributeValues{} : born_with(made[parent_of(group.path)], defaults);
        if (left_out.contains(group.path)) {
            made[group.path] = born;
            continue;
        }
        AttributeValues own = values_of(group);
        AttributeValues said;
        for (const auto& [name, value] : own) {
            const std::string* given = find(born, name);
            if (value != (given != nullptr ? *given : defaults.of(name))) {
                said[name] = value;
            }
        }
        for (const auto& [name, value] : born) {
            if (!own.contains(name)) {
                said[name] = defaults.of(name);
            }
        }
        group.settings = settings_of(said);
        made[group.path] = std::move(own);
    }
    return result;
}

}  // namespace gpcsup::grouping
