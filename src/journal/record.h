#pragma once
// One journal record and its bytes. A record is an event (something happened), a state (the value of a key
// from now on), or both at once. The body is a JSON object's text, opaque in this room. Pure: no system call.

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace gpcsup::journal {

inline constexpr std::uint16_t record_version = 1;
inline constexpr std::size_t largest_record =
    1u << 20;  // a longer one is refused when written and never believed when read

enum class Meaning : std::uint16_t {
    note = 0,     // an event only
    state = 1,    // sets its key
    erasure = 2,  // forgets its key
    past = 3,     // a copy of an event kept over a compaction: for readers of history, not folded
};

struct Record {
    std::uint64_t sequence = 0;      // 1, 2, 3… never again used
    std::uint64_t monotonic_ns = 0;  // CLOCK_MONOTONIC
    std::uint64_t realtime_ns = 0;   // CLOCK_REALTIME
    Meaning meaning = Meaning::note;
    std::string event;  // "unit-active"; empty = not shown as an event
    std::string key;    // "unit/web"; empty = no state
    std::string body;   // "{…}"
};

// The record's bytes, a multiple of eight, checksummed.
[[nodiscard]] std::string encode(const Record& record);

struct Decoded {
    Record record;
    std::size_t size = 0;  // bytes taken
};
// The record at the front of `bytes`, or nothing when it is not whole, damaged, or of a version unknown here.
[[nodiscard]] std::optional<Decoded> decode(std::span<const std::byte> bytes);

}  // namespace gpcsup::journal
