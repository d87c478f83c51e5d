#pragma once
// A machine for tests: processes that live in a map, with the kernel's rules for parents, zombies, waiting
// and CPU time. It is what /proc, the clocks and the signals of room sys show of it; nothing in it happens by
// itself.

#include <map>
#include <set>
#include <string>

#include "sys/clocks.h"
#include "sys/pidfd.h"
#include "sys/proc_files.h"

namespace gpcsup::sys {

class FakeMachine final : public ProcFiles, public Clocks, public Signals {
  public:
    using Nanoseconds = std::chrono::nanoseconds;
    struct Task {
        pid_t pid = 0;
        pid_t parent = 0;
        pid_t session = 0;
        pid_t group = 0;
        std::uint64_t start_time = 0;
        std::uint32_t threads = 1;
        char state = 'R';
        std::uint64_t user_ns = 0;  // own
        std::uint64_t system_ns = 0;
        std::uint64_t children_user_ns = 0;  // of those it has waited for, with theirs
        std::uint64_t children_system_ns = 0;
        std::string environment;
        std::string executable = "/usr/bin/fake";
        uid_t user = 0;
        gid_t owner_group = 0;
        bool ignores_children = false;  // SIGCHLD is ignored
        bool immune = false;            // signals do nothing to it (uninterruptible)
        bool forbidden = false;         // nor may they be sent
        std::set<int> received = {};
        std::map<pid_t, char> others =
            {};  // threads beside the leader that can be looked at, with their states
        [[nodiscard]] std::uint64_t own_ns() const { return user_ns + system_ns; }
    };

    explicit FakeMachine(pid_t root);  // the subreaper: orphans become its children
    [[nodiscard]] pid_t root() const { return root_; }

    pid_t fork(pid_t parent);                  // a copy of its parent
    pid_t fork_as(pid_t parent, pid_t child);  // with a number that is free
    void run(pid_t pid, Nanoseconds user, Nanoseconds system);
    void exit(pid_t pid);  // its last thread: a zombie, or nothing if its parent ignores its children
    Task wait(pid_t pid);  // by its parent, which is credited unless it is the root; gone afterwards
    void advance(Nanoseconds time) { now_ += time; }
    Task& at(pid_t pid) { return tasks_.at(pid); }
    [[nodiscard]] bool exists(pid_t pid) const { return tasks_.contains(pid); }
    [[nodiscard]] const std::map<pid_t, Task>& all() const { return tasks_; }

    base::Result<ProcStat> stat(pid_t pid) override;
    base::Result<std::vector<pid_t>> children(pid_t pid) override;
    base::Result<std::vector<pid_t>> tasks(pid_t pid) override;
    base::Result<std::string> environ(pid_t pid) override;
    base::Result<std::string> status(pid_t pid) override;
    base::Result<std::string> command_line(pid_t pid) override;
    base::Result<std::string> executable(pid_t pid) override;
    Nanoseconds monotonic() override { return now_; }
    Nanoseconds real() override { return now_; }
    Nanoseconds boot() override { return now_; }
    base::Result<Nanoseconds> process(pid_t pid) override;
    base::Result<base::Fd> open(base::ProcessId process) override;  // always ENOSYS: there is nothing to poll
    base::Result<> send(base::ProcessId process, int signal) override;  // SIGKILL: exits; SIGSTOP, SIGCONT

  private:
    base::Result<Task*> look(pid_t pid);
    pid_t root_;
    std::map<pid_t, Task> tasks_;
    pid_t next_pid_ = 0;
    std::uint64_t next_start_ = 1000;
    Nanoseconds now_{1'000'000'000};
};

}  // namespace gpcsup::sys
