#pragma once
// What /proc says about processes, read without a heap; and the killing of everything below a process.

#include <sys/types.h>

#include <cstddef>
#include <cstdint>

#include "init/clock.h"

namespace gpcsup::init {

// The names in an open directory, one by one, without "." and "..". The descriptor stays the caller's.
class DirectoryReader {
  public:
    explicit DirectoryReader(int directory) : directory_(directory) {}
    const char* next();  // nullptr at the end; good until the next call

  private:
    int directory_;
    std::size_t at_ = 0;
    std::size_t filled_ = 0;
    alignas(8) char buffer_[16384];
};

struct ProcessLine {
    pid_t pid = 0;  // 0: there is no such process
    pid_t parent = 0;
    pid_t session = 0;
    std::uint64_t start_time = 0;  // clock ticks since boot
};

ProcessLine read_process(pid_t pid);

// The whole of a file, or as much as fits, NUL-terminated. Returns its length, or -1.
ssize_t read_file(const char* path, char* to, std::size_t size);

// SIGKILL to every descendant of this process, again and again until none is left (all are reaped here) or
// DEADLINE. They are stopped first, all of them, so that a fork bomb cannot outrun the sweep.
enum class Emptied { yes, no };
Emptied kill_descendants(Nanoseconds deadline);

}  // namespace gpcsup::init
