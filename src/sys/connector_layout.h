#pragma once
// struct cn_msg of <linux/connector.h> without its flexible array member, which C++ does not let stand in
// another type.

#include <cstdint>

namespace gpcsup::sys {

struct ConnectorHeader {
    std::uint32_t index = 0;
    std::uint32_t value = 0;
    std::uint32_t sequence = 0;
    std::uint32_t acknowledged = 0;
    std::uint16_t length = 0;
    std::uint16_t flags = 0;
};
static_assert(sizeof(ConnectorHeader) == 20);

inline constexpr std::uint32_t connector_index = 1;  // CN_IDX_PROC: also the multicast group
inline constexpr std::uint32_t connector_value = 1;  // CN_VAL_PROC

}  // namespace gpcsup::sys
