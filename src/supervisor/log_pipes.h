#pragma once
// One pipe a unit for its output, made at its first start and kept over restarts: gpc-logd reads one end,
// services inherit the other. gpc-init keeps both ends, so neither gpcsupd's nor gpc-logd's death loses a
// byte. It reads and writes nothing.

#include <cstdint>
#include <map>

#include "supervisor/keeper_link.h"

namespace gpcsup::supervisor {

class LogPipes {
  public:
    explicit LogPipes(KeeperLink& keeper) : keeper_(keeper) {}

    void adopt();  // what gpc-init kept for a predecessor
    // The write end for the unit's standard output and error; the pipe owns it. EMFILE: too many descriptors.
    base::Result<int> writer(std::uint32_t unit_number, const std::string& name);
    void remove(std::uint32_t unit_number);  // gpc-logd writes what is left and forgets it

  private:
    KeeperLink& keeper_;
    std::map<std::uint32_t, base::Fd> writers_;
};

}  // namespace gpcsup::supervisor
