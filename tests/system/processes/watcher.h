#pragma once
// The tracking half of a supervisor over a Reaper: table, ledger, lineage, tracker and exit reader, wired as
// gpcsupd wires them. Everything that must outlive it is in Kept, as if gpc-init kept it.

#include <map>
#include <memory>

#include "processes/connector_tracker.h"
#include "processes/exit_reader.h"
#include "processes/ledger.h"
#include "processes/lineage.h"
#include "processes/sweep_tracker.h"
#include "processes/task_count.h"
#include "sys/clocks.h"
#include "sys/netlink.h"
#include "sys/pidfd.h"
#include "system/processes/reaper.h"

namespace gpcsup::tests {

struct StartedService {
    pid_t pid = 0;
    std::uint32_t group = 0;  // 0 = a, 1 = b
};

struct Kept {  // in shared memory, or descriptors that a fork inherits
    StartedService started[64];
    std::uint32_t started_count = 0;
    int table = -1;
    int connector = -1;
    int taskstats = -1;
};

class Watcher final : public processes::Origins, public processes::Observer {
  public:
    enum class Source : std::uint8_t { connector, sweep };
    Watcher(Reaper& reaper, Kept& kept, Source source);
    ~Watcher() override;

    // Handles news for so long, or until this process's record has been folded (0 = nobody's).
    void watch(std::chrono::milliseconds time, pid_t until_reaped = 0);
    void settle();  // before a figure is read
    [[nodiscard]] std::uint64_t usage(std::uint32_t group);
    [[nodiscard]] std::uint64_t total() { return table->books().total().usage_ns; }
    [[nodiscard]] grouping::GroupId group(std::uint32_t index) const { return groups_[index]; }
    [[nodiscard]] bool was_reaped(pid_t pid) const { return reaped_.contains(pid); }
    [[nodiscard]] std::uint64_t reaped_total_ns() const { return reaped_total_ns_; }

    sys::RealProcFiles files;
    sys::RealClocks clocks;
    sys::RealSignals signals;
    grouping::Forest forest;
    std::unique_ptr<processes::ProcessTable> table;
    std::unique_ptr<processes::Ledger> ledger;
    std::unique_ptr<processes::Lineage> lineage;
    std::unique_ptr<processes::Tracker> tracker;
    std::unique_ptr<processes::ExitReader> reader;
    std::vector<grouping::GroupId> emptied;
    int losses = 0;
    std::map<pid_t, processes::Attribution> attributed;

  private:
    std::optional<grouping::MembershipId> intent(pid_t pid) override;
    std::optional<grouping::MembershipId> marked(std::string_view value) override;
    grouping::MembershipId membership(std::uint32_t group);
    void on_emptied(grouping::GroupId group) override { emptied.push_back(group); }
    void on_lost() override { ++losses; }
    void on_attributed(processes::Process& orphan, processes::Attribution how) override {
        attributed[orphan.pid] = how;
    }
    void check_monotonic();
    Reaper& reaper_;
    Kept& kept_;
    grouping::HierarchyId hierarchy_;
    grouping::GroupId groups_[2];
    std::map<pid_t, wire::ExitRecord> reaped_;
    std::uint64_t reaped_total_ns_ = 0;
    std::uint64_t next_record_ = 0;
    std::uint64_t last_usage_[2] = {0, 0};
};

}  // namespace gpcsup::tests
