#pragma once
// The shared memory of the process table, as a successor of gpcsupd finds it. Layout only. Sparse: the memfd
// is as long as the tables at their fullest, and only the pages that were ever touched cost memory; `*_used`
// say how far that is.
//
// Every change of more than one word goes through the redo log (transaction.h), so a SIGKILL at any instant
// leaves either the old state or one that the log completes.

#include <cstdint>

#include "grouping/ids.h"
#include "processes/process.h"

namespace gpcsup::processes {

inline constexpr std::uint32_t table_magic = 0x54435047;  // "GPCT"
inline constexpr std::uint32_t table_version = 3;
inline constexpr std::uint32_t row_count = 65536;
inline constexpr std::uint32_t book_count = 16384;
inline constexpr std::uint32_t first_row =
    2;  // rows 0 and 1 stand for gpc-init and for parents that are unknown
inline constexpr std::uint32_t log_capacity = 96;

struct Book {  // one for each distinct combination of groups that any process is or was in
    grouping::Places places{};
    std::uint64_t usage_ns = 0;
    std::uint64_t system_ns = 0;     // of usage_ns; the rest is user
    std::uint64_t estimated_ns = 0;  // of usage_ns: from children nobody waited for
    std::uint32_t used = 0;
    std::uint32_t reserved = 0;
};

struct LogEntry {
    std::uint32_t offset = 0;  // of the word, from the start of the memory
    std::uint32_t size = 0;    // 4 or 8
    std::uint64_t value = 0;   // what it becomes: writing it twice is writing it once
};

struct Log {
    std::uint32_t armed = 0;  // entries to be written; 0 = nothing is under way
    std::uint32_t reserved = 0;
    LogEntry entries[log_capacity];
};

struct SharedTable {
    std::uint32_t magic = 0;
    std::uint32_t version = 0;
    std::uint32_t row_size = 0;
    std::uint32_t book_size = 0;
    std::uint32_t rows_used = 0;   // rows below this may be in use
    std::uint32_t books_used = 0;  // books below this may be in use
    std::uint64_t folded = 0;      // exit records with a smaller sequence are in the books
    Log log;
    Book books[book_count];
    Process rows[row_count];
};

}  // namespace gpcsup::processes
