#pragma once
// The one spelling of every word of this room, for files, status, events and the bus: one table for each
// enum. The order of a table is that of its enum.

#include <array>
#include <span>
#include <string_view>

#include "base/result.h"
#include "units/declaration.h"
#include "units/state.h"

namespace gpcsup::units {

inline constexpr std::array<std::string_view, 2> unit_kind_names = {"service", "target"};
inline constexpr std::array<std::string_view, 4> service_type_names = {"simple", "notify", "oneshot",
                                                                       "forking"};
inline constexpr std::array<std::string_view, 4> restart_policy_names = {"no", "on-failure", "on-abnormal",
                                                                         "always"};
inline constexpr std::array<std::string_view, 8> state_names = {"inactive", "starting", "active", "reloading",
                                                                "stopping", "done",     "failed", "backoff"};

[[nodiscard]] std::string_view name_of(UnitKind kind);
[[nodiscard]] std::string_view name_of(ServiceType type);
[[nodiscard]] std::string_view name_of(RestartPolicy policy);
[[nodiscard]] std::string_view name_of(State state);
[[nodiscard]] std::string_view name_of(Event event);

// "TERM", "SIGTERM" or "15" to "TERM"; EINVAL with a suggestion.
base::Result<std::string> canonical_signal(std::string_view text);
// Of a name without SIG; 0 when there is none.
[[nodiscard]] int signal_number(std::string_view name);
// "TERM"; "RTMIN+3", "signal 99" for those without a name.
[[nodiscard]] std::string signal_name(int number);

// INTERFACE: letters, digits, '.', '_', '-', '@'; not all digits; at most 64 characters. The message says
// what is wrong.
base::Result<> check_unit_name(std::string_view name);

}  // namespace gpcsup::units
