#pragma once
// What the configuration has to know of the controllers, and no more. The supervisor implements it from their
// registry, so that a new controller needs no change in this room.

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace gpcsup::config {

enum class ValueKind { boolean, integer, real, text };

class AttributeCatalogue {
  public:
    virtual ~AttributeCatalogue() = default;
    // ATTRIBUTE is the full name ("numtasks.limit"), TEXT the value as a person would type it, KIND how TOML
    // had it. The value's canonical text, or the sentence that tells what was expected.
    [[nodiscard]] virtual base::Result<std::string> check(std::string_view attribute, ValueKind kind,
                                                          std::string_view text) const = 0;
    [[nodiscard]] virtual std::vector<std::string> names() const = 0;  // "numtasks.limit", "group.owner"…
    [[nodiscard]] virtual std::vector<std::string> controllers() const = 0;  // "numtasks"…
};

}  // namespace gpcsup::config
