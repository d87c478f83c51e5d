#include "controllers/describe.h"

#include "controllers/controller.h"
#include "controllers/core_attributes.h"

namespace gpcsup::controllers {

namespace {

std::string_view example(AttributeType type) {
    switch (type) {
        case AttributeType::boolean:
            return "true";
        case AttributeType::count:
        case AttributeType::nanoseconds:
            return "1";
        case AttributeType::limit:
            return "max";
        case AttributeType::cpu_list:
        case AttributeType::node_list:
            return "0";
        case AttributeType::rate:
            return "100/1s";
        case AttributeType::user:
            return "none";
        case AttributeType::soft_hard:
            return "1024:infinity";
        case AttributeType::byte_limits:
            return "64M:infinity";
        case AttributeType::freezing:
            return "frozen";
        case AttributeType::mark:
            return "now";
        case AttributeType::text:
            return "/";
    }
    __builtin_unreachable();
}

void describe(std::string_view controller, std::span<const Attribute> attributes,
              std::vector<AttributeDescription>& into) {
    for (const Attribute& attribute : attributes) {
        const bool writable = attribute.access == Access::read_write;
        into.push_back({.name = std::string(controller) + "." + std::string(attribute.name),
                        .controller = controller,
                        .type = attribute.type,
                        .type_text = type_name(attribute.type),
                        .unit = attribute.unit,
                        .access = attribute.access,
                        .access_text = writable ? "read-write" : "read-only",
                        .default_text = attribute.default_text,
                        .default_of_2006 = attribute.default_of_2006,
                        .help = attribute.help,
                        .cloned = attribute.cloned,
                        .completion = writable ? example(attribute.type) : std::string_view{}});
    }
}

}  // namespace

std::vector<AttributeDescription> describe_attributes() {
    std::vector<AttributeDescription> all;
    for (const Registered& each : registered()) {
        describe(each.name, each.attributes, all);
    }
    describe(core_name, core_attributes(), all);
    return all;
}

std::vector<std::string_view> controller_names() {
    std::vector<std::string_view> names;
    for (const Registered& each : registered()) {
        names.push_back(each.name);
    }
    return names;
}

}  // namespace gpcsup::controllers
