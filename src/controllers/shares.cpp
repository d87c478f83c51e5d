#include "controllers/shares.h"

#include <algorithm>
#include <cerrno>
#include <numeric>
#include <string>

namespace gpcsup::controllers {

namespace {

std::uint64_t granted(std::span<const Shares> children) {
    return std::accumulate(children.begin(), children.end(), std::uint64_t{0},
                           [](std::uint64_t sum, const Shares& child) { return sum + child.min; });
}

}  // namespace

std::uint64_t part_of(std::uint64_t whole, std::uint64_t shares, std::uint64_t divisor) {
    if (whole == UINT64_MAX || shares == no_ceiling) {
        return UINT64_MAX;
    }
    // Both are at most most_shares: nothing overflows.
    return whole / divisor * shares + whole % divisor * shares / divisor;
}

base::Result<> check_shares(const Shares& wanted, const Shares& parent, std::span<const Shares> siblings) {
    const std::string of_parent = " of the parent's child_shares_divisor " + std::to_string(parent.divisor);
    if (wanted.max != no_ceiling && wanted.max > parent.divisor) {
        return base::refuse(EINVAL,
                            "max_shares " + std::to_string(wanted.max) + " is more than all" + of_parent);
    }
    if (wanted.max != no_ceiling && wanted.min > wanted.max) {
        return base::refuse(EINVAL, "min_shares " + std::to_string(wanted.min) + " is above max_shares " +
                                        std::to_string(wanted.max));
    }
    const std::uint64_t others = granted(siblings);
    if (wanted.min > parent.divisor - std::min(others, parent.divisor)) {
        return base::refuse(EINVAL,
                            "min_shares " + std::to_string(wanted.min) + " is more than is left" + of_parent,
                            "its other children are guaranteed " + std::to_string(others));
    }
    return {};
}

base::Result<> check_divisor(std::uint64_t divisor, std::span<const Shares> children) {
    const std::string text = "child_shares_divisor " + std::to_string(divisor);
    if (divisor == 0 || divisor > most_shares) {
        return base::refuse(EINVAL, text + " is not from 1 to " + std::to_string(most_shares));
    }
    if (const std::uint64_t taken = granted(children); divisor < taken) {
        return base::refuse(EINVAL, text + " is less than the children are guaranteed",
                            "the sum of their min_shares is " + std::to_string(taken));
    }
    for (const Shares& child : children) {
        if (child.max != no_ceiling && child.max > divisor) {
            return base::refuse(EINVAL, text + " is less than the max_shares of a child",
                                "one of them has " + std::to_string(child.max));
        }
    }
    return {};
}

}  // namespace gpcsup::controllers
