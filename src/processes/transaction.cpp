#include "processes/transaction.h"

#include <atomic>
#include <cassert>
#include <cstring>

namespace gpcsup::processes {
namespace {

std::uint32_t offset_of(const SharedTable& table, const void* word) {
    const auto distance = static_cast<const std::byte*>(word) - reinterpret_cast<const std::byte*>(&table);
    assert(distance >= 0 && static_cast<std::size_t>(distance) < sizeof(SharedTable));
    return static_cast<std::uint32_t>(distance);
}

void write_out(SharedTable& table, std::uint32_t count) {
    for (std::uint32_t index = 0; index < count; ++index) {
        const LogEntry& entry = table.log.entries[index];
        std::memcpy(reinterpret_cast<std::byte*>(&table) + entry.offset, &entry.value, entry.size);
    }
}

}  // namespace

void Transaction::put(const void* word, std::uint32_t size, std::uint64_t value) {
    const std::uint32_t offset = offset_of(table_, word);
    for (std::uint32_t index = 0; index < count_; ++index) {
        if (table_.log.entries[index].offset == offset) {
            table_.log.entries[index].value = value;
            return;
        }
    }
    assert(count_ < log_capacity);
    table_.log.entries[count_++] = {.offset = offset, .size = size, .value = value};
}

std::uint64_t Transaction::value_of(const void* word, std::uint64_t current) const {
    const std::uint32_t offset = offset_of(table_, word);
    for (std::uint32_t index = 0; index < count_; ++index) {
        if (table_.log.entries[index].offset == offset) {
            return table_.log.entries[index].value;
        }
    }
    return current;
}

// The reader of this memory is a process that starts after the writer has died, so the order of the machine's
// stores is that of the instructions: the compiler alone must be kept from mixing them.
void Transaction::commit() {
    std::atomic_signal_fence(std::memory_order_seq_cst);
    std::atomic_ref(table_.log.armed).store(count_, std::memory_order_release);
    std::atomic_signal_fence(std::memory_order_seq_cst);
    write_out(table_, count_);
    std::atomic_signal_fence(std::memory_order_seq_cst);
    std::atomic_ref(table_.log.armed).store(0, std::memory_order_release);
    std::atomic_signal_fence(std::memory_order_seq_cst);
    count_ = 0;
}

void Transaction::recover(SharedTable& table) {
    if (table.log.armed > 0 && table.log.armed <= log_capacity) {
        write_out(table, table.log.armed);
    }
    table.log.armed = 0;
}

}  // namespace gpcsup::processes
