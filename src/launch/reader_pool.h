#pragma once
// Two warm gpc-reader processes (wire/reader.h), a deadline of 50 ms for each reading, and new ones for those
// that missed it. A reader that the machine has not let run is waited for: two seconds at most. Knows no
// event loop: whoever has one watches descriptors() for reading and calls on_readable() and on_deadline().

#include <chrono>
#include <deque>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "launch/reader_process.h"
#include "wire/reader.h"

namespace gpcsup::launch {

using Moment = std::chrono::steady_clock::time_point;

class ReaderPool {
  public:
    // The bytes, or an error: EPERM (may not look), EFAULT (no such memory, or no answer in time), ESTALE
    // (the caller is in that call no more), EBUSY (too many readings wait), ECHILD (no reader can be
    // started, too many of them are dying, or it died).
    using Done = std::function<void(const base::Result<std::vector<std::uint8_t>>&)>;

    explicit ReaderPool(std::string program) : program_(std::move(program)) {}
    ~ReaderPool();
    ReaderPool(const ReaderPool&) = delete;
    ReaderPool& operator=(const ReaderPool&) = delete;

    // Starts the readers; also called by itself when one is missing.
    base::Result<> warm_up();

    void read(const wire::ReadRequest& request, Done done);

    [[nodiscard]] std::vector<int> descriptors() const;  // changes with every call of the functions here
    void on_readable(int descriptor);
    [[nodiscard]] std::optional<Moment> deadline() const;
    void on_deadline(Moment now);

  private:
    struct Job {
        wire::ReadRequest request;
        Done done;
    };
    struct Reader {
        ReaderProcess process;
        std::optional<Job> job;
        Delay delay = Delay::of_its_work;  // when it was last looked at
        Moment due;                        // looked at then
        Moment last;                       // and waited for no longer than that, whatever it does
    };
    void dispatch();
    void give(Reader& reader, Job job);
    void receive(Reader& reader);
    void dismiss(Reader& reader, int error);
    static bool is_late_without_blame(Reader& reader);

    std::string program_;
    std::vector<Reader> readers_;
    DyingReaders dying_;
    std::deque<Job> waiting_;
    std::uint64_t next_id_ = 1;
};

}  // namespace gpcsup::launch
