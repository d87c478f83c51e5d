#pragma once
// The shares of ResGroups (CKRM's, in Resource Groups of April 2006): what of a group's own a child is
// guaranteed, and what it may have at most, as parts of the group's divisor. Arithmetic over one group, its
// parent and the children; it knows neither groups nor what is shared.

#include <cstdint>
#include <span>

#include "base/result.h"

namespace gpcsup::controllers {

inline constexpr std::uint64_t no_ceiling = UINT64_MAX;
inline constexpr std::uint64_t most_shares = 1'000'000'000;

struct Shares {
    std::uint64_t min = 0;           // of the parent's divisor; 0 = nothing is guaranteed
    std::uint64_t max = no_ceiling;  // of the parent's divisor
    std::uint64_t divisor = 100;     // of what this group has, for its children
};

// The part of `whole`, rounded down; UINT64_MAX of either is without an end.
[[nodiscard]] std::uint64_t part_of(std::uint64_t whole, std::uint64_t shares, std::uint64_t divisor);

// EINVAL says which of the values cannot be together. `siblings` without the group itself.
base::Result<> check_shares(const Shares& wanted, const Shares& parent, std::span<const Shares> siblings);
base::Result<> check_divisor(std::uint64_t divisor, std::span<const Shares> children);

}  // namespace gpcsup::controllers
