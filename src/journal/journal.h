#pragma once
// The append-only journal: records in a memfd that gpc-init keeps. gpcsupd's state is the fold of it; `gpcsup
// events` and recovery read the same records. Appending is one pwrite, so a writer killed at any instant
// leaves a whole record or none (a torn one fails its checksum and is overwritten by the successor). It
// interprets no key and no body.

#include <algorithm>
#include <functional>
#include <map>

#include "base/fd.h"
#include "base/result.h"
#include "journal/record.h"

namespace gpcsup::journal {

struct Clocks {  // what a record is stamped with; tests give their own
    std::uint64_t (*monotonic_ns)();
    std::uint64_t (*realtime_ns)();
};
[[nodiscard]] Clocks system_clocks();

class Journal {
  public:
    static base::Result<Journal> create(Clocks clocks = system_clocks());
    // Takes over what a predecessor wrote, up to the first record that is not whole. `damaged_at` then tells
    // where.
    static base::Result<Journal> adopt(base::Fd memfd, Clocks clocks = system_clocks());

    [[nodiscard]] int descriptor() const { return memfd_.get(); }
    [[nodiscard]] std::uint64_t last_sequence() const { return next_sequence_ - 1; }
    // The next record gets at least the number behind this one: after a journal that was cut, numbers that
    // are still in use elsewhere must not be given out again.
    void go_on_behind(std::uint64_t sequence) { next_sequence_ = std::max(next_sequence_, sequence + 1); }
    [[nodiscard]] std::uint64_t size() const { return end_; }  // bytes
    [[nodiscard]] std::uint64_t leftover() const {
        return leftover_;
    }  // bytes behind the end at adoption: a torn record

    // Appends and returns the record's sequence. ENOSPC when the machine has no memory for it: nothing was
    // written.
    base::Result<std::uint64_t> note(std::string_view event, std::string_view body);
    base::Result<std::uint64_t> state(std::string_view event, std::string_view key, std::string_view body);
    base::Result<std::uint64_t> erase(std::string_view event, std::string_view key,
                                      std::string_view body = "{}");

    // Calls `visit` for each record in order of writing until it says `Visit::stop`.
    enum class Visit { go_on, stop };
    base::Result<> read(const std::function<Visit(const Record&)>& visit) const;

    // True when more than `growth_limit` bytes were appended since the last compaction.
    [[nodiscard]] bool wants_compaction() const { return end_ - compacted_end_ > growth_limit; }
    void postpone_compaction() { compacted_end_ = end_; }  // until it has grown as much again
    // A successor with the same numbering: the newest `history` events as past, then what `write_states`
    // appends by state(). The caller keeps the new descriptor with gpc-init and only then drops this journal.
    base::Result<Journal> compacted(const std::function<base::Result<>(Journal&)>& write_states) const;

    static constexpr std::uint64_t growth_limit = 1u << 20;
    static constexpr std::size_t history = 2000;

  private:
    Journal(base::Fd memfd, Clocks clocks) : memfd_(std::move(memfd)), clocks_(clocks) {}
    base::Result<std::uint64_t> append(Meaning meaning, std::string_view event, std::string_view key,
                                       std::string_view body);
    base::Result<> write(const Record& record);

    base::Fd memfd_;
    Clocks clocks_;
    std::uint64_t end_ = 0;
    std::uint64_t compacted_end_ = 0;
    std::uint64_t leftover_ = 0;
    std::uint64_t next_sequence_ = 1;
};

// The fold: the last value of every key that was set and not erased.
using States = std::map<std::string, Record, std::less<>>;
base::Result<States> fold(const Journal& journal);

}  // namespace gpcsup::journal
