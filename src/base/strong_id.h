#pragma once
// Numbers that cannot be mixed up: struct GroupTag; using GroupId = StrongId<GroupTag>.

#include <compare>
#include <cstdint>
#include <functional>

namespace gpcsup::base {

template <class Tag, class Number = std::uint32_t>
struct StrongId {
    Number value = 0;

    constexpr StrongId() = default;
    constexpr explicit StrongId(Number number) : value(number) {}
    constexpr auto operator<=>(const StrongId&) const = default;
};

}  // namespace gpcsup::base

template <class Tag, class Number>
struct std::hash<gpcsup::base::StrongId<Tag, Number>> {
    std::size_t operator()(gpcsup::base::StrongId<Tag, Number> id) const noexcept {
        return std::hash<Number>{}(id.value);
    }
};
