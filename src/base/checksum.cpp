#include "base/checksum.h"

#include <array>

namespace gpcsup::base {

namespace {

constexpr std::uint32_t reflected_polynomial = 0x82f63b78;

constexpr std::array<std::uint32_t, 256> make_table() {
    std::array<std::uint32_t, 256> table{};
    for (std::uint32_t byte = 0; byte < table.size(); ++byte) {
        std::uint32_t remainder = byte;
        for (int bit = 0; bit < 8; ++bit) {
            remainder = (remainder >> 1) ^ ((remainder & 1) != 0 ? reflected_polynomial : 0);
        }
        table[byte] = remainder;
    }
    return table;
}

constexpr std::array<std::uint32_t, 256> table = make_table();

}  // namespace

std::uint32_t crc32c(std::span<const std::byte> data, std::uint32_t seed) {
    std::uint32_t remainder =
        ~seed;  // inverted at both ends, so that seed = the checksum of what came before
    for (std::byte byte : data) {
        remainder = (remainder >> 8) ^ table[(remainder ^ std::to_integer<std::uint32_t>(byte)) & 0xff];
    }
    return ~remainder;
}

}  // namespace gpcsup::base
