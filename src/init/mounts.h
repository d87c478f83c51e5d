#pragma once
// Which file systems to unmount before the machine stops, in which order.

#include <cstddef>

#include "init/clock.h"

namespace gpcsup::init {

inline constexpr Nanoseconds mount_patience = 20 * second;

struct Mount {
    const char* place;  // decoded
    const char* type;
    bool read_only;
};

// Unmounts, or, where it is busy, makes it read-only so that it is clean on the disk. May never return on a
// dead disk: runs in a child.
void end_mount(const Mount& mount);

// Mounted before anything else, and needed by whatever ends the rest: kernel interfaces and /run.
bool is_early(const char* place);

enum class Round { useful, over };

// The mounts that keep data, last mounted first, read anew each round as unmounting one may free another. It
// is over when a round has changed nothing.
class MountList {
  public:
    Round next_round();
    const Mount* next();  // nullptr: the round's end

  private:
    unsigned before_ = ~0u;
    unsigned rounds_ = 0;
    unsigned left_ = 0;
    Mount current_{};
};

}  // namespace gpcsup::init
