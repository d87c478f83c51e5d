#pragma once
// Memory figures of many processes, by one gpc-reader (wire/reader.h) that is killed when it does not answer
// in time. The caller waits, until a moment that it names: no longer.

#include <chrono>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/process_id.h"
#include "launch/reader_process.h"
#include "wire/reader.h"

namespace gpcsup::launch {

class MemoryReader {
  public:
    using Moment = std::chrono::steady_clock::time_point;

    explicit MemoryReader(std::string program) : program_(std::move(program)) {}
    ~MemoryReader();
    MemoryReader(const MemoryReader&) = delete;
    MemoryReader& operator=(const MemoryReader&) = delete;

    // One figure for each process, wire::memory_unknown for those who are gone, not ours to see, or were not
    // reached until then.
    std::vector<std::uint64_t> read(std::span<const base::ProcessId> processes, wire::MemoryFigure figure,
                                    Moment until);

  private:
    enum class Answered { yes, no };
    Answered ask(const wire::MemoryRequest& request, wire::MemoryAnswer& answer, Moment until);
    void dismiss();

    std::string program_;
    ReaderProcess reader_;
    DyingReaders dying_;
    std::uint64_t next_id_ = 1;
};

}  // namespace gpcsup::launch
