#pragma once
// What gpc-init keeps for its helpers: descriptors under a KeepKey, in a fixed table. It lies in State
// (shared memory), so it is plain data that starts as zero bytes. It sends nothing.

#include <cstdint>

#include "wire/keep.h"

namespace gpcsup::init {

struct KeepTable {
    static constexpr std::uint32_t capacity = 8192;
    static constexpr std::uint32_t no_row = 0xffffffff;
    static constexpr std::uint32_t name_size = sizeof wire::KeepMessage::name;

    std::uint32_t used;     // rows at or above were never touched (and cost no memory)
    std::uint32_t renamed;  // how many rows have been
    wire::KeepKey keys[capacity];
    int numbers[capacity];   // descriptor, or -1: the row is free
    bool closing[capacity];  // dropped, but kept until the helper that empties it has dropped it, too
    char names[capacity][name_size];

    [[nodiscard]] std::uint32_t find(const wire::KeepKey& key) const;
    // Takes the descriptor over; an older one of the same key is closed. no_row: the table is full, nothing
    // was taken.
    [[nodiscard]] std::uint32_t put(const wire::KeepKey& key, const char* name, int number);
    // Goes on being kept, under a key that nobody else uses.
    void rename(std::uint32_t row);
    void remove(std::uint32_t row);
    // After an exec: what is no open descriptor any more is forgotten. Returns how many were.
    std::uint32_t forget_closed();
};

bool operator==(const wire::KeepKey& left, const wire::KeepKey& right);
const char* class_name(wire::KeepClass keep_class);

}  // namespace gpcsup::init
