#include "cli/json.h"

#include <cerrno>

#include "cli/text.h"

namespace gpcsup::cli {

namespace {

const Json* member(const Json& object, const char* key) {
    if (!object.is_object()) {
        return nullptr;
    }
    const auto found = object.find(key);
    return found == object.end() ? nullptr : &*found;
}

}  // namespace

base::Result<Json> parse_answer(std::string_view text) {
    Json parsed = Json::parse(text, nullptr, false);
    if (!parsed.is_object()) {
        return base::refuse(EPROTO, "the supervisor's answer is not a JSON object");
    }
    return parsed;
}

std::string text_of(const Json& object, const char* key) {
    const Json* value = member(object, key);
    return value != nullptr && value->is_string() ? harmless(value->get_ref<const std::string&>())
                                                  : std::string();
}

std::optional<std::int64_t> number_of(const Json& object, const char* key) {
    const Json* value = member(object, key);
    if (value == nullptr || !value->is_number()) {
        return std::nullopt;
    }
    return value->get<std::int64_t>();
}

std::string number_or_dash(const Json& object, const char* key) {
    const auto number = number_of(object, key);
    return number ? std::to_string(*number) : "-";
}

const Json& list_of(const Json& object, const char* key) {
    static const Json none = Json::array();
    const Json* value = member(object, key);
    return value != nullptr && value->is_array() ? *value : none;
}

const Json& object_of(const Json& object, const char* key) {
    static const Json none = Json::object();
    const Json* value = member(object, key);
    return value != nullptr && value->is_object() ? *value : none;
}

Truth truth_of(const Json& object, const char* key) {
    const Json* value = member(object, key);
    if (value == nullptr || !value->is_boolean()) {
        return Truth::unsaid;
    }
    return value->get<bool>() ? Truth::yes : Truth::no;
}

std::string value_text(const Json& value) {
    if (value.is_string()) {
        return harmless(value.get_ref<const std::string&>());
    }
    if (value.is_null()) {
        return "max";
    }
    if (value.is_array()) {
        std::string text;
        for (const auto& element : value) {
            text += (text.empty() ? "" : " ") + value_text(element);
        }
        return text;
    }
    return value.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace gpcsup::cli
