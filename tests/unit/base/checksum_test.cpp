#include "base/checksum.h"

#include <catch2/catch.hpp>
#include <numeric>
#include <string_view>
#include <vector>

using gpcsup::base::crc32c;

namespace {

std::span<const std::byte> bytes_of(std::string_view text) {
    return std::as_bytes(std::span(text));
}

std::vector<std::byte> filled(std::size_t size, unsigned value) {
    return std::vector<std::byte>(size, static_cast<std::byte>(value));
}

}  // namespace

TEST_CASE("crc32c gives the values of RFC 3720, appendix B.4") {
    CHECK(crc32c({}) == 0);
    CHECK(crc32c(bytes_of("123456789")) == 0xe3069283);
    CHECK(crc32c(filled(32, 0x00)) == 0x8a9136aa);
    CHECK(crc32c(filled(32, 0xff)) == 0x62a8ab43);
    std::vector<std::byte> ascending(32);
    for (unsigned i = 0; i < 32; ++i) {
        ascending[i] = static_cast<std::byte>(i);
    }
    CHECK(crc32c(ascending) == 0x46dd794e);
}

TEST_CASE("crc32c of two parts, the second seeded with the first, is that of the whole") {
    constexpr std::string_view whole = "the journal's record and what follows it";
    for (std::size_t cut = 0; cut <= whole.size(); ++cut) {
        const auto first = crc32c(bytes_of(whole.substr(0, cut)));
        CHECK(crc32c(bytes_of(whole.substr(cut)), first) == crc32c(bytes_of(whole)));
    }
}

TEST_CASE("crc32c notices every single flipped bit") {
    auto data = filled(64, 0x5a);
    const auto right = crc32c(data);
    for (std::size_t i = 0; i < data.size() * 8; ++i) {
        data[i / 8] ^= static_cast<std::byte>(1u << (i % 8));
        CHECK(crc32c(data) != right);
        data[i / 8] ^= static_cast<std::byte>(1u << (i % 8));
    }
}
