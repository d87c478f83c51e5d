#pragma once
// Another process by its directory in /proc: all that is read there is of one process, whoever has its number
// by now.

#include <cstdint>

#include <sys/types.h>

namespace gpcsup::enforcement {

struct ProcText {
    char bytes[2048];
    bool ok = false;
};

class ProcDirectory {
  public:
    explicit ProcDirectory(pid_t pid);
    ~ProcDirectory();
    ProcDirectory(const ProcDirectory&) = delete;
    ProcDirectory& operator=(const ProcDirectory&) = delete;

    [[nodiscard]] bool is_started_at(
        std::uint64_t start_time) const;                  // no, too, where there is no such process
    [[nodiscard]] ProcText read(const char* name) const;  // of a short file
    [[nodiscard]] int open_file(const char* name) const;  // −1: errno

  private:
    int directory_;
};

[[nodiscard]] std::uint64_t monotonic_ns();

}  // namespace gpcsup::enforcement
