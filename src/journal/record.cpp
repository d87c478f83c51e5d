#include "journal/record.h"

#include <cstring>

#include "base/checksum.h"

namespace gpcsup::journal {

namespace {

constexpr std::uint32_t magic = 0x4c4a5047;  // "GPJL"

struct Header {
    std::uint32_t magic;
    std::uint32_t checksum;  // of everything behind this field, padding included
    std::uint32_t size;      // of the whole record, padding included
    std::uint16_t version;
    std::uint16_t meaning;
    std::uint64_t sequence;
    std::uint64_t monotonic_ns;
    std::uint64_t realtime_ns;
    std::uint16_t event_length;
    std::uint16_t key_length;
    std::uint32_t body_length;
};
constexpr std::size_t checked_from = offsetof(Header, size);

std::uint32_t checksum_of(std::span<const std::byte> record) {
    return base::crc32c(record.subspan(checked_from));
}

}  // namespace

std::string encode(const Record& record) {
    const std::size_t content = record.event.size() + record.key.size() + record.body.size();
    const std::size_t size = (sizeof(Header) + content + 7) & ~std::size_t{7};
    Header header{magic,
                  0,
                  static_cast<std::uint32_t>(size),
                  record_version,
                  static_cast<std::uint16_t>(record.meaning),
                  record.sequence,
                  record.monotonic_ns,
                  record.realtime_ns,
                  static_cast<std::uint16_t>(record.event.size()),
                  static_cast<std::uint16_t>(record.key.size()),
                  static_cast<std::uint32_t>(record.body.size())};
    std::string bytes(sizeof header, '\0');
    bytes.reserve(size);
    std::memcpy(bytes.data(), &header, sizeof header);
    bytes += record.event;
    bytes += record.key;
    bytes += record.body;
    bytes.resize(size);
    header.checksum = checksum_of(std::as_bytes(std::span(bytes)));
    std::memcpy(bytes.data(), &header, sizeof header);
    return bytes;
}

std::optional<Decoded> decode(std::span<const std::byte> bytes) {
    Header header;
    if (bytes.size() < sizeof header) {
        return std::nullopt;
    }
    std::memcpy(&header, bytes.data(), sizeof header);
    const std::size_t content = std::size_t{header.event_length} + header.key_length + header.body_length;
    if (header.magic != magic || header.version != record_version || header.size > bytes.size() ||
        header.size > largest_record || header.size < sizeof header + content || header.meaning > 3 ||
        header.checksum != checksum_of(bytes.first(header.size))) {
        return std::nullopt;
    }
    const auto* text = reinterpret_cast<const char*>(bytes.data()) + sizeof header;
    Decoded decoded;
    decoded.size = header.size;
    decoded.record = {header.sequence,
                      header.monotonic_ns,
                      header.realtime_ns,
                      static_cast<Meaning>(header.meaning),
                      std::string(text, header.event_length),
                      std::string(text + header.event_length, header.key_length),
                      std::string(text + header.event_length + header.key_length, header.body_length)};
    return decoded;
}

}  // namespace gpcsup::journal
