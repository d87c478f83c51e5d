#pragma once
// Who gets one of the connections to the control socket, which everybody may open. Pure.

#include <sys/types.h>

#include <cstddef>
#include <span>

namespace gpcsup::control {

inline constexpr std::size_t max_connections = 64;
inline constexpr std::size_t max_of_one_user = 16;      // of each user without privileges
inline constexpr std::size_t kept_for_privileged = 16;  // root and the supervisor's own user

enum class Admission { granted, refused };

// `held`: whose the connections are that are open now; `own`: the supervisor's own user.
[[nodiscard]] Admission admit(std::span<const uid_t> held, uid_t peer, uid_t own);

}  // namespace gpcsup::control
