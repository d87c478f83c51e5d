#pragma once
// One gpc-reader: started, killed, reaped. Internal to the room.

#include <string>
#include <vector>

#include "base/fd.h"
#include "base/result.h"

namespace gpcsup::launch {

struct ReaderProcess {
    base::Fd socket;
    base::Fd pidfd;
    pid_t pid = 0;  // ours until it is reaped
};

enum class Reaped { yes, not_yet };

base::Result<ReaderProcess> start_reader(const std::string& program);
void kill_reader(const base::Fd& pidfd);
Reaped reap_reader(const base::Fd& pidfd);  // waits for nothing

enum class Delay { of_its_work, for_want_of_a_cpu };

// Why a reader has not answered yet: it waits for something in the kernel, or the machine has not let it run
// (it has not taken up what it was sent, or is ready to run).
Delay look_at_delay(const ReaderProcess& reader);

// Readers that were killed and are not reaped yet. One that hangs in the kernel stays here, so there is a
// bound: each hangs in one process, and more of them would not help.
class DyingReaders {
  public:
    DyingReaders() = default;
    ~DyingReaders();  // waits for all: killed and killable, each ends
    DyingReaders(const DyingReaders&) = delete;
    DyingReaders& operator=(const DyingReaders&) = delete;

    void kill(ReaderProcess reader);
    void reap();  // those that have ended; waits for nothing
    [[nodiscard]] bool is_full() const { return pidfds_.size() >= most; }
    [[nodiscard]] const std::vector<base::Fd>& pidfds() const {
        return pidfds_;
    }  // readable when to be reaped

  private:
    static constexpr std::size_t most = 8;
    std::vector<base::Fd> pidfds_;
};

}  // namespace gpcsup::launch
