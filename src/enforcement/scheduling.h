#pragma once
// What the kernel gives this program: real-time priority, pages that stay in memory, and a limit that ends it
// if it should ever spin. Nothing here is needed to be correct, all of it to be quick.

#include <cstdint>

namespace gpcsup::enforcement {

enum class Policy : std::uint32_t { ordinary = 0, fifo = 1 };

// SCHED_FIFO where permitted, else as near to it as an ordinary process gets.
Policy raise_priority();

// Keeps what is mapped now in memory from its first touch on, where permitted.
void lock_pages();

// A real-time thread that never sleeps would be killed by its own limit (and starve others before): sleeps 50
// us when the last 100 ms were more than half busy. Cheap to call in every round.
class Breather {
  public:
    void breathe(std::uint64_t now);

  private:
    std::uint64_t window_start_ = 0;
    std::uint64_t cpu_at_start_ = 0;
};

}  // namespace gpcsup::enforcement
