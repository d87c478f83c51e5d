#pragma once
// Reading the supervisor's answers: what is absent, null or of another type counts as "not said", never as an
// error, so that a newer or older supervisor can still be shown.

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace gpcsup::cli {

using Json = nlohmann::ordered_json;

// EPROTO when TEXT is not one JSON object.
base::Result<Json> parse_answer(std::string_view text);

// Text made harmless for a terminal; "" when not said.
std::string text_of(const Json& object, const char* key);
std::optional<std::int64_t> number_of(const Json& object, const char* key);
std::string number_or_dash(const Json& object, const char* key);
// An array or an object; an empty one when not said.
const Json& list_of(const Json& object, const char* key);
const Json& object_of(const Json& object, const char* key);

enum class Truth { no, yes, unsaid };
Truth truth_of(const Json& object, const char* key);

// A number, text, truth value or null ("max") as a person would type it.
std::string value_text(const Json& value);

}  // namespace gpcsup::cli
