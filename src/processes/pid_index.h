#pragma once
// From pid to row: an open-addressed table of row numbers, four bytes an entry. The pid itself is read from
// the row, so the table must be told before a row's pid changes.

#include <sys/types.h>

#include <cstdint>
#include <span>
#include <vector>

#include "processes/process.h"

namespace gpcsup::processes {

class PidIndex {
  public:
    explicit PidIndex(std::span<const Process> rows) : rows_(rows), slots_(smallest) {}

    [[nodiscard]] std::uint32_t find(pid_t pid) const {  // 0 = unknown
        for (std::size_t slot = home(pid);; slot = next(slot)) {
            if (slots_[slot] == 0 || rows_[slots_[slot]].pid == pid) {
                return slots_[slot];
            }
        }
    }

    void insert(std::uint32_t row) {
        if (2 * (count_ + 1) > slots_.size()) {
            grow();
        }
        place(row);
        ++count_;
    }

    // Entries behind the hole move up if they could have stood in it, so that no search ends early.
    void erase(pid_t pid) {
        std::size_t hole = home(pid);
        while (slots_[hole] != 0 && rows_[slots_[hole]].pid != pid) {
            hole = next(hole);
        }
        if (slots_[hole] == 0) {
            return;
        }
        for (std::size_t slot = next(hole); slots_[slot] != 0; slot = next(slot)) {
            const std::size_t distance_to_hole = (hole - home(rows_[slots_[slot]].pid)) & mask();
            const std::size_t distance_to_slot = (slot - home(rows_[slots_[slot]].pid)) & mask();
            if (distance_to_hole < distance_to_slot) {
                slots_[hole] = slots_[slot];
                hole = slot;
            }
        }
        slots_[hole] = 0;
        --count_;
    }

  private:
    static constexpr std::size_t smallest = 1024;
    [[nodiscard]] std::size_t mask() const { return slots_.size() - 1; }
    [[nodiscard]] std::size_t home(pid_t pid) const {
        return (static_cast<std::uint32_t>(pid) * 2654435761u >> 7) & mask();
    }
    [[nodiscard]] std::size_t next(std::size_t slot) const { return (slot + 1) & mask(); }
    void place(std::uint32_t row) {
        std::size_t slot = home(rows_[row].pid);
        while (slots_[slot] != 0) {
            slot = next(slot);
        }
        slots_[slot] = row;
    }
    void grow() {
        const std::vector<std::uint32_t> old =
            std::exchange(slots_, std::vector<std::uint32_t>(slots_.size() * 2));
        for (const std::uint32_t row : old) {
            if (row != 0) {
                place(row);
            }
        }
    }
    std::span<const Process> rows_;
    std::vector<std::uint32_t> slots_;
    std::size_t count_ = 0;
};

}  // namespace gpcsup::processes
