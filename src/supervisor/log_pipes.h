#pragma once
// One pipe a unit for its output, made at its first start and kept over restarts: gpc-logd reads one end,
// services inherit the other. gpc-init keeps both ends, so neither gpcsupd's nor gpc-logd's death loses a
// byte. It reads and writes nothing.

#include <cstdint>
#include <map>
#include <memory_resource>
#include <string>

#include "base/lasting_memory.h"
#include "supervisor/keeper_link.h"

namespace gpcsup::supervisor {

class LogPipes {
  public:
    explicit LogPipes(KeeperLink& keeper) : keeper_(keeper) {}

    void adopt();  // what gpc-init kept for a predecessor
    // The write end for the unit's standard output and error; this object owns it. EMFILE: too many
    // descriptors, here or in gpc-init.
    base::Result<int> writer(const std::string& unit);
    // Bytes that the unit has written and gpc-logd has not read yet.
    [[nodiscard]] std::uint64_t waiting(std::string_view unit) const;
    void remove(const std::string& unit);  // gpc-logd writes what is left and forgets it
    // After the last service, at the very end: gpc-logd waits for the end of each pipe, and must not wait for
    // us.
    void close_writers() { pipes_.clear(); }

  private:
    struct Pipe {
        std::uint32_t number = 0;  // under which gpc-init keeps both ends
        base::Fd writer;
    };
    void forget(std::uint32_t number);

    KeeperLink& keeper_;
    std::pmr::map<std::string, Pipe, std::less<>> pipes_{base::lasting_memory()};
    std::uint32_t last_number_ = 0;
};

}  // namespace gpcsup::supervisor
