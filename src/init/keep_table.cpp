#include "init/keep_table.h"

#include <fcntl.h>
#include <unistd.h>

#include <cstring>

namespace gpcsup::init {

namespace {

constexpr const char* class_names[] = {
    "exit ring",      "start slots",   "enforcement table", "process table",  "journal",
    "control socket", "notify socket", "connector",         "taskstats",      "log pipe",
    "log writer",     "listener",      "supervisor wakeup", "enforce wakeup", "handover",
};
static_assert(sizeof class_names / sizeof class_names[0] == static_cast<unsigned>(wire::KeepClass::count_));

}  // namespace

const char* class_name(wire::KeepClass keep_class) {
    return keep_class < wire::KeepClass::count_ ? class_names[static_cast<unsigned>(keep_class)] : "unknown";
}

bool operator==(const wire::KeepKey& left, const wire::KeepKey& right) {
    return left.id == right.id && left.keep_class == right.keep_class;
}

std::uint32_t KeepTable::find(const wire::KeepKey& key) const {
    for (std::uint32_t row = 0; row < used; ++row) {
        if (keys[row] == key && numbers[row] >= 0) {
            return row;
        }
    }
    return no_row;
}

std::uint32_t KeepTable::put(const wire::KeepKey& key, const char* name, int number) {
    std::uint32_t row = find(key);
    if (row != no_row) {
        int older = numbers[row];
        memcpy(names[row], name, name_size);
        numbers[row] = number;
        close(older);
        return row;
    }
    for (row = 0; row < used && numbers[row] >= 0; ++row) {
    }
    if (row == capacity) {
        return no_row;
    }
    // The number is written last: a fatal signal in between leaves a free row, not a wrong one.
    numbers[row] = -1;
    closing[row] = false;
    if (row == used) {
        ++used;
    }
    keys[row] = key;
    memcpy(names[row], name, name_size);
    names[row][name_size - 1] = '\0';
    numbers[row] = number;
    return row;
}

void KeepTable::rename(std::uint32_t row) {
    keys[row].id = wire::private_ids | ++renamed;
}

void KeepTable::remove(std::uint32_t row) {
    int number = numbers[row];
    numbers[row] = -1;
    close(number);
    while (used > 0 && numbers[used - 1] < 0) {
        --used;
    }
}

std::uint32_t KeepTable::forget_closed() {
    std::uint32_t forgotten = 0;
    for (std::uint32_t row = 0; row < used; ++row) {
        if (numbers[row] >= 0 && fcntl(numbers[row], F_GETFD) < 0) {
            numbers[row] = -1;
            ++forgotten;
        }
    }
    return forgotten;
}

}  // namespace gpcsup::init
