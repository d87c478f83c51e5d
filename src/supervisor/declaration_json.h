#pragma once
// A unit's declaration as the journal keeps it for a successor: every member, so that files changed meanwhile
// change nothing. Pure.

#include "supervisor/chronicle.h"
#include "units/declaration.h"

namespace gpcsup::supervisor {

[[nodiscard]] Json to_json(const units::Declaration& unit);
base::Result<units::Declaration> declaration_from_json(const Json& json);  // EPROTO: not what to_json wrote

}  // namespace gpcsup::supervisor
