#pragma once
// What /proc says about processes: an interface with the real files behind it, and pure parsers that the
// tests feed. Nothing in here remembers anything; a pid is looked at as it is now, and the caller compares
// start times.

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/cpu_list.h"
#include "base/fd.h"
#include "base/process_id.h"
#include "base/result.h"

namespace gpcsup::sys {

// The fields of /proc/PID/stat that somebody needs; see proc(5). Times are clock ticks (see
// ticks_per_second).
struct ProcStat {
    pid_t pid = 0;
    std::string name;
    char state = '?';
    pid_t parent = 0;
    pid_t process_group = 0;
    pid_t session = 0;
    std::uint32_t threads = 0;
    std::uint64_t user = 0;
    std::uint64_t system = 0;
    std::uint64_t children_user = 0;
    std::uint64_t children_system = 0;
    std::uint64_t start_time = 0;

    // Gone in all but its entry: its last thread has ended. A leader that ended alone is 'Z' too, but has
    // threads.
    [[nodiscard]] bool ended() const { return (state == 'Z' || state == 'X') && threads <= 1; }
    [[nodiscard]] base::ProcessId id() const { return {pid, start_time}; }
};

base::Result<ProcStat> parse_stat(std::string_view text);
base::Result<std::vector<pid_t>> parse_children(std::string_view text);
// The value of NAME in the NUL-separated list of /proc/PID/environ.
std::optional<std::string> environment_value(std::string_view environ, std::string_view name);
// Whether SigIgn of /proc/PID/status names this signal; empty when the line is not there.
std::optional<bool> ignores_signal(std::string_view status, int signal);

// Whose a process is, by /proc/PID/status: its real user and group (a setuid program is its caller's), and
// its supplementary groups.
struct ProcIdentity {
    uid_t user = 0;
    gid_t group = 0;
    std::vector<gid_t> groups;
};
base::Result<ProcIdentity> parse_identity(std::string_view status);
struct ProcUsers {  // who the kernel takes the process to be
    uid_t real = 0;
    uid_t effective = 0;
    uid_t saved = 0;
};
// The line Uid of /proc/PID/status; empty when it is not there.
std::optional<ProcUsers> users_of(std::string_view status);

[[nodiscard]] std::uint64_t nanoseconds_of_ticks(std::uint64_t ticks);

// The line Cpus_allowed_list: every CPU the thread may run on, those that are offline among them. Empty when
// it is not there.
std::optional<base::CpuList> cpus_allowed(std::string_view status);

class ProcFiles {
  public:
    virtual ~ProcFiles() = default;
    virtual base::Result<ProcStat> stat(pid_t pid) = 0;  // ESRCH when there is no such process
    // Children of all its threads, zombies included. The kernel may leave some out while others exit: absence
    // proves nothing.
    virtual base::Result<std::vector<pid_t>> children(pid_t pid) = 0;
    virtual base::Result<std::vector<pid_t>> tasks(pid_t pid) = 0;
    virtual base::Result<std::string> environ(pid_t pid) = 0;  // at most 128 KiB of it
    virtual base::Result<std::string> status(pid_t pid) = 0;
    virtual base::Result<std::string> command_line(pid_t pid) = 0;  // NUL-separated; empty for a zombie
    // The file it executes, links resolved; ESRCH for a zombie, EACCES when we may not know.
    virtual base::Result<std::string> executable(pid_t pid) = 0;
};

class RealProcFiles final : public ProcFiles {
  public:
    static base::Result<RealProcFiles> open();
    base::Result<ProcStat> stat(pid_t pid) override;
    base::Result<std::vector<pid_t>> children(pid_t pid) override;
    base::Result<std::vector<pid_t>> tasks(pid_t pid) override;
    base::Result<std::string> environ(pid_t pid) override;
    base::Result<std::string> status(pid_t pid) override;
    base::Result<std::string> command_line(pid_t pid) override;
    base::Result<std::string> executable(pid_t pid) override;

  private:
    explicit RealProcFiles(base::Fd root) : root_(std::move(root)) {}
    base::Result<std::string> read(const char* path, std::size_t limit) const;
    base::Fd root_;  // /proc itself: what is mounted over it later does not matter
};

// The start time of a process that is there; the identity of one.
base::Result<std::uint64_t> start_time(ProcFiles& files, pid_t pid);
base::Result<base::ProcessId> identify(ProcFiles& files, pid_t pid);
// A thread and its process; of a main thread both have one number. ESRCH when it has ended, also when it is
// still to be waited for.
base::Result<base::ThreadId> identify_thread(ProcFiles& files, pid_t tid);
[[nodiscard]] bool is_running(ProcFiles& files, const base::ThreadId& thread);
// The state of a process by its threads that live: that of one that does not stand still, or 'T' where all of
// them do. One file a thread is read. `living_state` takes the leader's word, unless it has ended alone.
[[nodiscard]] char state_of_threads(ProcFiles& files, const ProcStat& stat);
[[nodiscard]] char living_state(ProcFiles& files, const ProcStat& stat);
[[nodiscard]] constexpr bool is_stopped(char state) {
    return state == 'T' || state == 't';
}
// The line Tgid of /proc/TID/status: the process's number; 0 when it is not there.
[[nodiscard]] pid_t process_of(std::string_view status);

}  // namespace gpcsup::sys
