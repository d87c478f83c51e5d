#pragma once
// What gpc-init is to the trackers, in a process of its own: a subreaper that starts what it is asked to,
// reaps all, and writes the exit records first. And the kernel's cgroups, as the witness that usage and
// counts are compared with.

#include <sys/types.h>

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "base/fd.h"
#include "wire/exit_ring.h"

namespace gpcsup::tests {

// A pair of kernel cgroups (cpuacct and pids), removed at the end; all processes left in them are killed
// then.
class KernelGroup {
  public:
    static bool available();
    explicit KernelGroup(const std::string& name);
    KernelGroup(const KernelGroup&) = delete;
    KernelGroup& operator=(const KernelGroup&) = delete;
    ~KernelGroup();
    [[nodiscard]] std::vector<std::string> procs_files() const;
    [[nodiscard]] std::uint64_t cpu_ns() const;
    [[nodiscard]] std::uint64_t tasks() const;
    [[nodiscard]] std::vector<pid_t> processes() const;

  private:
    std::vector<std::filesystem::path> directories_;  // cpuacct, pids
};

enum class Load : std::uint32_t {
    shell,    // bash -c TEXT
    threads,  // a process with TEXT threads, and one zombie child, that waits to be killed
    hopper,   // forks, and lives on only in its child, again and again
    tree,     // processes in sessions of their own, twice removed, with empty environments
};

class Reaper {
  public:
    Reaper();
    Reaper(const Reaper&) = delete;
    Reaper& operator=(const Reaper&) = delete;
    ~Reaper();
    [[nodiscard]] pid_t pid() const { return pid_; }
    [[nodiscard]] wire::ExitRing& ring() { return *ring_; }
    pid_t start(Load load, const std::string& text, const KernelGroup* group);

  private:
    pid_t pid_ = 0;
    base::Fd socket_;
    wire::ExitRing* ring_ = nullptr;
};

}  // namespace gpcsup::tests
