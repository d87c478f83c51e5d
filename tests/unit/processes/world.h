#pragma once
// A whole tree for tests: the fake machine, gpc-init's part (exit records), a tracker that can lose events,
// and the real table, ledger, lineage and exit reader on top. What the machine really spent, by group of
// birth or move, is kept beside for comparison.

#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <vector>

#include "processes/exit_reader.h"
#include "processes/group_kill.h"
#include "processes/ledger.h"
#include "processes/lineage.h"
#include "processes/task_count.h"
#include "sys/fake_machine.h"

namespace gpcsup::tests {

using std::chrono::milliseconds;

class FakeTracker final : public processes::Tracker {
  public:
    explicit FakeTracker(processes::TrackerSink& sink) : sink_(sink) {}
    [[nodiscard]] processes::TrackingQuality quality() const override { return quality_; }
    [[nodiscard]] int descriptor() const override { return -1; }
    base::Result<processes::Progress> on_readable(std::size_t budget) override {
        while (budget-- > 0 && !queue_.empty()) {
            const auto event = queue_.front();
            queue_.pop_front();
            sink_.handle(event);
        }
        return queue_.empty() ? processes::Progress::empty : processes::Progress::more;
    }
    base::Result<> drain() override {
        (void)on_readable(queue_.size()).has_value();
        return {};
    }
    void push(const processes::Event& event) { queue_.push_back(event); }
    void lose() {  // everything queued, as the kernel does when its buffer is full
        queue_.clear();
        queue_.push_back({.kind = processes::EventKind::lost});
    }
    void inherit(FakeTracker& predecessor) { queue_ = std::move(predecessor.queue_); }
    void set_quality(processes::TrackingQuality quality) { quality_ = quality; }

  private:
    processes::TrackerSink& sink_;
    std::deque<processes::Event> queue_;
    processes::TrackingQuality quality_ = processes::TrackingQuality::exact;
};

class FakeOrigins final : public processes::Origins {
  public:
    std::optional<grouping::MembershipId> intent(pid_t pid) override {
        const auto found = intents.find(pid);
        return found != intents.end() ? std::optional(forest->intern(found->second)) : std::nullopt;
    }
    std::optional<grouping::MembershipId> marked(std::string_view value) override {
        const auto found = markers.find(std::string(value));
        return found != markers.end() ? std::optional(forest->intern(found->second)) : std::nullopt;
    }
    grouping::Forest* forest = nullptr;
    std::map<pid_t, grouping::Places> intents;
    std::map<std::string, grouping::Places> markers;
};

class FakeObserver final : public processes::Observer {
  public:
    void on_fork(const processes::Process*, processes::Process& child) override {
        forks.push_back(child.pid);
    }
    void on_exec(processes::Process& process) override { execs.push_back(process.pid); }
    void on_thread_start(processes::Process&, pid_t thread) override { thread_starts.push_back(thread); }
    void on_thread_exit(processes::Process&, pid_t thread) override { thread_exits.push_back(thread); }
    void on_swept() override { ++sweeps; }
    void on_exit(const processes::Process& process) override { exits.push_back(process.pid); }
    void on_emptied(grouping::GroupId group) override { emptied.push_back(group); }
    void on_attributed(processes::Process& orphan, processes::Attribution how) override {
        attributed[orphan.pid] = how;
    }
    void on_lost() override { ++losses; }
    std::vector<pid_t> forks;
    std::vector<pid_t> execs;
    std::vector<pid_t> thread_starts;
    std::vector<pid_t> thread_exits;
    int sweeps = 0;
    std::vector<pid_t> exits;
    std::vector<grouping::GroupId> emptied;
    std::map<pid_t, processes::Attribution> attributed;
    int losses = 0;
};

class World {
  public:
    static constexpr pid_t init = 100;

    World();

    // Groups of the hierarchy `acct`, by name; "" is the root.
    grouping::MembershipId in(std::string_view name) { return forest.intern(places(name)); }
    grouping::Places places(std::string_view name);
    grouping::GroupId group(std::string_view name) { return forest.child(root_group, name).value(); }

    pid_t service(std::string_view group_name);  // a child of gpc-init, by start intent
    pid_t fork(pid_t parent);
    pid_t clone_parent(pid_t caller);  // CLONE_PARENT: the event and /proc name the caller's parent
    void run(pid_t pid, milliseconds user, milliseconds system = milliseconds(0));
    void run_ns(pid_t pid, std::uint64_t user, std::uint64_t system);
    void exec(pid_t pid);
    void start_thread(pid_t pid);
    void end_thread(pid_t pid, pid_t thread);  // `thread` == pid: the leader, while others live
    void exit(pid_t pid);  // and whatever became a zombie of gpc-init is recorded and reaped
    void wait(pid_t pid);  // by its parent, a member
    void move(pid_t pid, std::string_view group_name);
    void reap_as_init();
    void settle();     // drain the tracker and the ring, twice a settle round
    void successor();  // SIGKILL of gpcsupd: heap gone, shared memory kept

    [[nodiscard]] processes::CpuTime usage(std::string_view name);
    [[nodiscard]] std::uint64_t total() { return table->books().total().usage_ns; }
    [[nodiscard]] std::uint64_t spent(std::string_view name) { return spent_[std::string(name)]; }
    [[nodiscard]] std::uint64_t spent() const;
    [[nodiscard]] std::string place(pid_t pid);  // "" = the root; "?" = not in the table

    sys::FakeMachine machine{init};
    grouping::Forest forest;
    grouping::HierarchyId hierarchy;
    grouping::GroupId root_group;
    std::unique_ptr<processes::ProcessTable> table;
    FakeOrigins origins;
    FakeObserver observer;
    std::unique_ptr<wire::ExitRing> ring;
    std::unique_ptr<processes::Ledger> ledger;
    std::unique_ptr<processes::Lineage> lineage;
    std::unique_ptr<FakeTracker> tracker;
    std::unique_ptr<processes::ExitReader> reader;
    std::vector<wire::ExitRecord> reaped;

  private:
    void build();
    void record(const sys::FakeMachine::Task& task);
    std::map<std::string, std::uint64_t> spent_;
    std::map<pid_t, std::string> where_;
    pid_t next_thread_ = 50'000;
};

}  // namespace gpcsup::tests
