// The static registry. Registration objects live in the controllers' own files and run before main; the rooms
// library of controllers is therefore linked whole (see src/CMakeLists.txt).

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "base/suggestion.h"
#include "controllers/controller.h"
#include "controllers/core_attributes.h"

namespace gpcsup::controllers {

namespace {

std::vector<Registered>& registry() {
    static std::vector<Registered> all;  // function-local: Registrations of other files may run first
    return all;
}

std::string quoted_suggestion(std::string_view word, std::span<const std::string_view> known) {
    const auto near = base::nearest(word, known);
    return near ? "did you mean '" + std::string(*near) + "'?" : std::string();
}

std::span<const Attribute> attributes_of(std::string_view controller) {
    if (controller == core_name) {
        return core_attributes();
    }
    const Registered* found = find_controller(controller);
    return found != nullptr ? found->attributes : std::span<const Attribute>{};
}

std::unexpected<base::Error> unknown_attribute(std::string_view full_name) {
    std::vector<std::string> names;
    const auto add = [&names](std::string_view controller, std::span<const Attribute> attributes) {
        for (const Attribute& attribute : attributes) {
            names.push_back(std::string(controller) + "." + std::string(attribute.name));
        }
    };
    for (const Registered& each : registered()) {
        add(each.name, each.attributes);
    }
    add(core_name, core_attributes());
    const std::vector<std::string_view> known(names.begin(), names.end());
    return base::refuse(ENOENT, "there is no attribute '" + std::string(full_name) + "'",
                        quoted_suggestion(full_name, known));
}

}  // namespace

// Two controllers of one name are a mistake in the build; it is found when the program is first started.
Registration::Registration(std::string_view name, std::span<const Attribute> attributes, Factory factory) {
    auto& all = registry();
    const auto place = std::ranges::lower_bound(all, name, {}, &Registered::name);
    if (name == core_name || (place != all.end() && place->name == name)) {
        std::fprintf(stderr, "two controllers are registered as '%.*s'\n", static_cast<int>(name.size()),
                     name.data());
        std::abort();
    }
    all.insert(place, Registered{name, attributes, factory});
}

std::span<const Registered> registered() {
    return registry();
}

const Registered* find_controller(std::string_view name) {
    const auto found = std::ranges::lower_bound(registry(), name, {}, &Registered::name);
    return found != registry().end() && found->name == name ? &*found : nullptr;
}

base::Result<const Registered*> require_controller(std::string_view name) {
    if (const Registered* found = find_controller(name)) {
        return found;
    }
    std::vector<std::string_view> known;
    for (const Registered& each : registered()) {
        known.push_back(each.name);
    }
    return base::refuse(ENOENT, "there is no controller '" + std::string(name) + "'",
                        quoted_suggestion(name, known));
}

base::Result<const Attribute*> find_attribute(std::string_view full_name) {
    const std::size_t dot = full_name.find('.');
    if (dot != std::string_view::npos) {
        for (const Attribute& attribute : attributes_of(full_name.substr(0, dot))) {
            if (attribute.name == full_name.substr(dot + 1)) {
                return &attribute;
            }
        }
    }
    return unknown_attribute(full_name);
}

std::unexpected<base::Error> Controller::unknown(std::string_view attribute) const {
    return base::refuse(ENOENT, "there is no attribute " + std::string(name()) + "." +
                                    std::string(attribute) + " to do that with");
}

}  // namespace gpcsup::controllers
