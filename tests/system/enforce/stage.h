#pragma once
// The smallest world in which gpc-exec and gpc-enforce are at home: this process plays gpc-init (parent and
// reaper of all, keeper of descriptors) and gpcsupd (the enforcement table, recounts, calls on behalf).
// Everything it starts, it ends.

#include <atomic>
#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "launch/affinity_calls.h"
#include "launch/enforcement_table.h"
#include "launch/filter.h"
#include "launch/plan.h"
#include "launch/policy_calls.h"
#include "launch/reader_pool.h"
#include "launch/recount.h"
#include "launch/slots.h"
#include "launch/spawn.h"
#include "wire/keep.h"

namespace gpcsup::test {

using base::Fd;
using namespace std::chrono_literals;

std::string program(const std::string& name);          // of the product, in the build tree
std::string support_program(const std::string& name);  // of tests/support

// A request that runs `arguments` with nothing special.
launch::LaunchRequest request_for(std::vector<std::string> arguments);

struct Started {
    pid_t pid = 0;
    Fd pidfd;
    Fd status;
    launch::SlotId slot;
};

// Starts by spawn() in a forked helper (CLONE_PARENT: the new process is then ours). `before` runs in that
// helper.
Started start_by_agent(const launch::LaunchRequest& request, launch::StartSlots& slots,
                       const std::function<void()>& before = {});

// What is left of the process: waits (at most 60 s) and reaps. The wait status as of waitpid(2).
int wait_for_end(const Started& started);
// Reads everything until the end of file, with at most 300 s of silence: the machine may be busy with other
// things.
std::string read_all(const Fd& from);
bool readable(int descriptor, std::chrono::milliseconds within);

struct PipeEnds {
    Fd reader;
    Fd writer;
};
PipeEnds make_pipe();

// Tasks and processes of a session, counted in /proc.
struct SessionCount {
    std::uint64_t tasks = 0;
    std::uint64_t processes = 0;
};
SessionCount count_session(pid_t session);
// The same for a process that only has children of its own, which it waits for: no orphans, no grandchildren.
// Much quicker.
SessionCount count_family(pid_t leader);

// A group of processes in the kernel's own pids controller, where it is mounted and ours to use.
class PidsCgroup {
  public:
    PidsCgroup();
    ~PidsCgroup();
    [[nodiscard]] bool usable() const { return !path_.empty(); }
    void add(pid_t pid) const;
    [[nodiscard]] std::uint64_t peak() const;

  private:
    std::string path_;
};

struct Service {
    Started started;
    Fd input;
    Fd output;
    std::uint64_t key = 0;
};

enum class Enforcer { real, bare };  // bare: lets everything go on and counts nothing

class Stage final : public launch::AffinityRules, public launch::PolicyRules {
  public:
    explicit Stage(Enforcer enforcer = Enforcer::real);
    ~Stage() override;
    Stage(const Stage&) = delete;
    Stage& operator=(const Stage&) = delete;

    // Group 1 is the root, 2 and 3 are below it, 4 is below 2.
    void limit(launch::GroupKey group, std::uint64_t most, wire::BudgetKind kind = wire::BudgetKind::tasks);
    // A service in that group, filtered for these classes; it waits for go().
    Service start(launch::LaunchRequest request, launch::GroupKey group,
                  std::vector<wire::TrapClass> classes);
    static void go(Service& service) { service.input.reset(); }
    // Moves the process (with the children it will have) to another group.
    void move(pid_t pid, std::uint64_t key, launch::GroupKey group);

    std::uint64_t failcnt(launch::GroupKey group);
    std::size_t refusals();  // records read so far
    void kill_enforcer();
    void stop_enforcer();  // until it is killed; while the supervisor is paused
    // What gpcsupd has told gpc-enforce is heard and forgotten, as by one that is killed at that moment.
    void swallow_answer();
    void deliver_table_of_another_version();
    [[nodiscard]] bool fifo() const { return client_->table().scheduling.load() == 1; }
    [[nodiscard]] std::uint64_t received() const { return client_->table().received.load(); }
    // At least that many have been received, and then no more for a moment.
    [[nodiscard]] bool received_settles(std::uint64_t least, std::chrono::milliseconds within) const;
    [[nodiscard]] std::uint64_t recounts() const { return recounts_; }
    [[nodiscard]] std::uint64_t restarts() const { return restarts_; }
    [[nodiscard]] bool all_listeners_dropped(std::chrono::milliseconds within);
    // The next wake-up is heard and forgotten, as by a gpcsupd that is killed at that moment.
    void swallow_wakeup() { swallow_ = 1; }
    [[nodiscard]] bool swallowed() const { return swallow_ == 0; }
    void pause_supervisor() { mutex_.lock(); }
    void resume_supervisor() { mutex_.unlock(); }

    std::function<SessionCount(pid_t)> count_members = count_session;
    base::CpuList allowed_cpus;  // of every member, for sched_setaffinity on behalf

    base::Result<base::CpuList> allowed(pid_t caller, pid_t target) override;
    void granted(pid_t, const base::CpuList&, const base::CpuList&) override {}
    void reapply(pid_t) override {}
    Nodes allowed_nodes;  // of every member
    base::Result<Nodes> nodes(pid_t, pid_t) override { return allowed_nodes; }

  private:
    void recount(const std::vector<launch::BudgetRow>& rows);
    void start_enforcer();
    void deliver(wire::KeepClass keep_class, std::uint64_t id, int descriptor);
    void run();
    void hear_handover();
    void hear_enforcer();
    void supervise();
    std::uint64_t count(launch::GroupKey group, wire::BudgetKind kind);

    std::string enforcer_program_;
    std::mutex mutex_;  // the client is used by the tests' thread and by the supervising one
    std::unique_ptr<launch::StartSlots> slots_;
    std::unique_ptr<launch::EnforcementClient> client_;
    launch::SystemThreadProbe probe_;
    std::unique_ptr<launch::Recounter> recounter_;
    std::unique_ptr<launch::ReaderPool> pool_;
    std::unique_ptr<launch::AffinityCalls> affinity_;
    std::unique_ptr<launch::PolicyCalls> policies_;
    launch::FilterCache filters_;
    std::map<pid_t, launch::GroupKey> sessions_;
    std::map<std::uint64_t, Fd> listeners_;
    Fd supervisor_wakeup_;
    Fd enforce_wakeup_;
    Fd handover_ours_;
    Fd handover_theirs_;
    Fd keeper_;
    Fd enforcer_;
    Fd stop_;
    std::atomic<std::uint64_t> recounts_ = 0;
    std::atomic<std::uint64_t> restarts_ = 0;
    std::atomic<int> swallow_ = 0;
    std::size_t refusals_ = 0;
    std::uint64_t next_key_ = 1000;
    std::thread thread_;
};

}  // namespace gpcsup::test
