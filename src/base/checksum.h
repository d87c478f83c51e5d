#pragma once
// CRC-32C (Castagnoli), for records that must be known whole after a crash. Not for security.

#include <cstddef>
#include <cstdint>
#include <span>

namespace gpcsup::base {

[[nodiscard]] std::uint32_t crc32c(std::span<const std::byte> data, std::uint32_t seed = 0);

}  // namespace gpcsup::base
