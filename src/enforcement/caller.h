#pragma once
// Which process a trapped thread belongs to, and whether that process was moved away from its domain's place.
// Reads /proc/TID/status, which takes no lock that another process can hold.

#include <cstdint>

#include "enforcement/admission.h"
#include "wire/enforcement_table.h"

namespace gpcsup::enforcement {

// The row of the caller, or of its nearest ancestor that has one; null: it is where its domain is.
const wire::Override* find_override(const wire::EnforcementTable& table, std::uint64_t domain_key,
                                    std::uint32_t tid);

// Whether the caller may go to the limit of a budget, or to its barrier. Asked only when the barrier has been
// reached.
Severity severity_of(std::uint32_t tid);

}  // namespace gpcsup::enforcement
