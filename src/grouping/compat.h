#pragma once
// Whose rules a hierarchy keeps to where those of 2006 and today's differ: errnos, defaults, units, and
// whether what is charged to a group counts in those above it as well. Given when it is made, and its own for
// good.

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>

namespace gpcsup::grouping {

enum class Compat : std::uint8_t {
    none,
    year_2006,  // Generic Process Containers, ResGroups, BeanCounters
};

// As it is written in TOML, on the command line and on the bus; empty = none.
inline constexpr std::array<std::string_view, 2> compat_names = {"", "2006"};

[[nodiscard]] constexpr std::string_view name_of(Compat compat) {
    return compat_names[static_cast<std::size_t>(compat)];
}

// Nothing for a word that is none of them.
[[nodiscard]] constexpr std::optional<Compat> compat_named(std::string_view word) {
    for (std::size_t index = 0; index < compat_names.size(); ++index) {
        if (compat_names[index] == word) {
            return static_cast<Compat>(index);
        }
    }
    return std::nullopt;
}

}  // namespace gpcsup::grouping
