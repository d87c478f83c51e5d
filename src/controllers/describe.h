#pragma once
// All attributes that exist, as plain words: for the man page, the JSON schema, the bus's Describe and shell
// completion. What is not in here is not an attribute.

#include <string_view>
#include <vector>

#include "controllers/attribute.h"

namespace gpcsup::controllers {

struct AttributeDescription {
    std::string name;  // "numtasks.limit"
    std::string_view controller;
    AttributeType type;
    std::string_view type_text;  // "whole number or max"
    std::string_view unit;       // may be empty
    Access access;
    std::string_view access_text;  // "read-only", "read-write"
    std::string_view default_text;
    std::string_view default_of_2006;  // where it is another one there; else empty
    std::string_view help;
    Cloned cloned;
    std::string_view completion;  // an example value a shell may offer; empty for what can only be read
};

// Sorted by controller, then as declared; `group.*` last.
[[nodiscard]] std::vector<AttributeDescription> describe_attributes();
[[nodiscard]] std::vector<std::string_view> controller_names();

}  // namespace gpcsup::controllers
