#pragma once
// Which process a trapped thread belongs to, and whether that process was moved away from its domain's place.
// Reads /proc/TID/status, which takes no lock that another process can hold.

#include <cstdint>

#include "wire/enforcement_table.h"

namespace gpcsup::enforcement {

// The row of the caller, or of its nearest ancestor that has one; null: it is where its domain is.
const wire::Override* find_override(const wire::EnforcementTable& table, std::uint64_t domain_key,
                                    std::uint32_t tid);

}  // namespace gpcsup::enforcement
