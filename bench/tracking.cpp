// What tracking costs: memory for each process, CPU time for each event, with a full house of 30,000
// processes in the table.
//   bench_tracking [PROCESSES [FORKS]]
// The house is made of rows only; the forks are real, from a child of this program, over the real process
// connector.

#include <malloc.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <string>

#include "processes/connector_tracker.h"
#include "processes/lineage.h"
#include "processes/task_count.h"
#include "sys/clocks.h"
#include "sys/netlink.h"

using namespace gpcsup;

namespace {

constexpr pid_t first_row_pid = 5'000'000;  // beyond any pid_max: rows that no event names

double cpu_us() {
    timespec time{};
    ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
    return static_cast<double>(time.tv_sec) * 1e6 + static_cast<double>(time.tv_nsec) / 1e3;
}

template <class Work>
double cost_us(Work work) {
    const double begin = cpu_us();
    work();
    return cpu_us() - begin;
}

class Nobody final : public processes::Origins, public processes::Observer {
  public:
    std::optional<grouping::MembershipId> intent(pid_t) override { return grouping::MembershipId{}; }
    std::optional<grouping::MembershipId> marked(std::string_view) override { return std::nullopt; }
    void on_fork(const processes::Process*, processes::Process&) override { ++forks; }
    int forks = 0;
};

// Forks one after the other, each waited for; tells through its end that it is done.
void fork_storm(int forks) {
    const pid_t child = ::fork();
    if (child == 0) {
        for (int index = 0; index < forks; ++index) {
            const pid_t grandchild = ::fork();
            if (grandchild == 0) {
                ::_exit(0);
            }
            ::waitpid(grandchild, nullptr, 0);
        }
        ::_exit(0);
    }
    ::waitpid(child, nullptr, 0);
}

void measure_events(const char* what, pid_t root, std::size_t rows, int forks) {
    grouping::Forest forest;
    auto files = sys::RealProcFiles::open();
    auto table = processes::ProcessTable::create(forest, root);
    auto socket = sys::open_connector();
    if (!files || !table || !socket) {
        std::printf("%s: no process connector here\n", what);
        return;
    }
    sys::RealClocks clocks;
    Nobody nobody;
    processes::Ledger ledger(**table, *files, clocks);
    processes::Lineage lineage(forest, **table, ledger, *files, nobody, nobody);
    auto taskstats = sys::open_taskstats();
    processes::ConnectorTracker tracker(lineage, std::move(*socket),
                                        taskstats ? std::move(*taskstats) : base::Fd());
    for (std::size_t row = 0; row < rows; ++row) {
        const auto pid = first_row_pid + static_cast<pid_t>(row);
        (void)(*table)->insert({pid, 1}, row == 0 ? root : first_row_pid, {}).value();
    }
    double cost = 0;
    constexpr int step = 500;
    for (int done = 0; done < forks; done += step) {
        fork_storm(step);
        cost += cost_us([&] { (void)tracker.drain().has_value(); });
    }
    std::printf("%s: %.2f us for each fork and its exit (%d forks heard of, %lu losses)\n", what,
                cost / forks, nobody.forks, static_cast<unsigned long>(tracker.losses()));
}

void measure_memory(std::size_t rows) {
    grouping::Forest forest;
    std::vector<grouping::GroupId> groups;
    for (int index = 0; index < 100; ++index) {
        groups.push_back(forest
                             .create_group(forest.hierarchy(grouping::HierarchyId{0})->root,
                                           "unit" + std::to_string(index))
                             .value());
    }
    const auto heap = ::mallinfo2();
    auto table = std::move(processes::ProcessTable::create(forest, 1).value());
    const double insert = cost_us([&] {
        for (std::size_t row = 0; row < rows; ++row) {
            grouping::Places places{};
            places[0] = groups[row % groups.size()];
            const auto pid = first_row_pid + static_cast<pid_t>(row);
            (void)table
                ->insert({pid, 1}, row < 100 ? 1 : first_row_pid + static_cast<pid_t>(row % 100),
                         forest.intern(places))
                .value();
        }
    });
    const auto heap_after = ::mallinfo2();
    struct stat shared {};
    ::fstat(table->descriptor(), &shared);
    const double per_process =
        static_cast<double>((heap_after.uordblks + heap_after.hblkhd) - (heap.uordblks + heap.hblkhd));
    const double shared_bytes = static_cast<double>(shared.st_blocks) * 512;
    std::printf("memory at %zu processes: %.0f bytes each (%.0f shared, %.0f heap)\n", rows,
                (per_process + shared_bytes) / static_cast<double>(rows),
                shared_bytes / static_cast<double>(rows), per_process / static_cast<double>(rows));
    std::printf("insert: %.2f us each\n", insert / static_cast<double>(rows));
    std::size_t seen = 0;
    const double members = cost_us([&] {
        for (const auto group : groups) {
            table->for_each_member_below(group, [&](processes::Process&) { ++seen; });
        }
    });
    std::printf("members of 100 groups: %.3f us for each of %zu\n", members / static_cast<double>(seen),
                seen);
    const double usage = cost_us([&] { (void)table->books().usage(groups[0]); });
    std::printf("usage of a group out of 100: %.1f us\n", usage);
    const double adoption = cost_us([&] {
        (void)processes::ProcessTable::adopt(forest, base::Fd(::dup(table->descriptor())), 1).value();
    });
    std::printf("adoption: %.1f ms\n", adoption / 1000);
}

void measure_clocks() {
    sys::RealClocks clocks;
    auto files = sys::RealProcFiles::open();
    constexpr int times = 20'000;
    const double clock = cost_us([&] {
        for (int index = 0; index < times; ++index) {
            (void)clocks.process(::getppid()).has_value();
        }
    });
    const double stat = cost_us([&] {
        for (int index = 0; index < times / 10; ++index) {
            (void)files->stat(::getppid()).has_value();
        }
    });
    std::printf("a clock: %.2f us; a stat file: %.2f us\n", clock / times, stat / (times / 10.0));
}

}  // namespace

int main(int argc, char** argv) {
    const std::size_t rows = argc > 1 ? static_cast<std::size_t>(std::atoi(argv[1])) : 30'000;
    const int forks = argc > 2 ? std::atoi(argv[2]) : 5'000;
    measure_memory(rows);
    measure_clocks();
    measure_events("forks of members", ::getpid(), rows, forks);
    measure_events("forks of others", 1 << 24, rows, forks);
}
