#pragma once
// Moves pages of processes to other nodes, by one gpc-reader (wire/reader.h) that does a slice of one process
// after the other and is killed when it does not answer; it is there only while there is work. Knows no event
// loop: whoever has one watches descriptors() for reading, and calls on_readable() and on_deadline().

#include <chrono>
#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/cpu_list.h"
#include "base/process_id.h"
#include "launch/reader_process.h"
#include "wire/reader.h"

namespace gpcsup::launch {

class PageMover {
  public:
    using Moment = std::chrono::steady_clock::time_point;
    struct Outcome {
        std::uint64_t moved = 0;   // pages
        std::uint64_t shared = 0;  // with other processes: not ours to move
        std::uint64_t left = 0;    // the kernel could not: held by somebody, or there is no room
        int error = 0;  // why it ended before its time; ESRCH: the process has gone. ETIMEDOUT: no answer
    };
    using Done = std::function<void(base::ProcessId process, const Outcome& outcome)>;

    PageMover(std::string program, Done done) : program_(std::move(program)), done_(std::move(done)) {}
    ~PageMover();
    PageMover(const PageMover&) = delete;
    PageMover& operator=(const PageMover&) = delete;

    // For one that is being moved already it is the newer wish. Nothing happens before proceed().
    void add(base::ProcessId process, const base::CpuList& from, const base::CpuList& to);
    void forget(base::ProcessId process);  // nobody is told
    void proceed();

    [[nodiscard]] std::vector<int> descriptors() const;  // changes with every call of the functions here
    void on_readable(int descriptor);
    [[nodiscard]] std::optional<Moment> deadline() const;
    void on_deadline(Moment now);

  private:
    struct Work {
        base::CpuList from;
        base::CpuList to;
        std::uint64_t address = 0;  // so far it is through
        std::uint64_t wish = 0;     // its number
        Outcome outcome;
    };
    struct Slice {  // that the reader has been given
        std::uint64_t id = 0;
        base::ProcessId process;
        std::uint64_t wish = 0;
        Moment due;
    };
    int begin(base::ProcessId process, const Work& work);  // 0 or an errno
    void receive();
    void take(const wire::MoveAnswer& answer);
    void end(base::ProcessId process, int error);
    void dismiss();

    std::string program_;
    Done done_;
    std::map<base::ProcessId, Work> works_;
    std::deque<base::ProcessId> turns_;  // of works_, but for the one whose slice is under way
    std::optional<Slice> slice_;
    ReaderProcess reader_;
    DyingReaders dying_;
    std::uint64_t next_id_ = 1;
    std::uint64_t next_wish_ = 1;
};

}  // namespace gpcsup::launch
