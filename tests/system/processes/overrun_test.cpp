// The process connector's buffer is made so small that it overruns, and the table must be what it would have
// been.

#include <sys/socket.h>

#include <catch2/catch.hpp>
#include <set>

#include "processes/group_kill.h"
#include "system/processes/watcher.h"

using namespace gpcsup;
using namespace gpcsup::tests;
using std::chrono::milliseconds;

namespace {

// All that /proc shows below a process, zombies left out.
std::set<pid_t> descendants(sys::ProcFiles& files, pid_t top) {
    std::set<pid_t> found;
    std::vector<pid_t> waiting{top};
    while (!waiting.empty()) {
        const pid_t at = waiting.back();
        waiting.pop_back();
        for (const pid_t child : files.children(at).value_or(std::vector<pid_t>{})) {
            const auto stat = files.stat(child);
            if (stat && !stat->ended() && found.insert(child).second) {
                waiting.push_back(child);
            }
        }
    }
    return found;
}

std::set<pid_t> members(Watcher& watcher, std::uint32_t group) {
    std::set<pid_t> found;
    watcher.table->for_each_member(watcher.group(group),
                                   [&](processes::Process& process) { found.insert(process.pid); });
    return found;
}

// Before the reaper goes: what it leaves would be nobody's.
void kill_all(Watcher& watcher, std::uint32_t group) {
    processes::GroupKill kill(
        {*watcher.table, watcher.files, watcher.signals, watcher.clocks, *watcher.tracker},
        watcher.group(group), std::chrono::seconds(10));
    auto status = kill.step();
    while (!status.over()) {
        watcher.watch(std::chrono::ceil<milliseconds>(status.again));
        status = kill.step();
    }
    CHECK(status.phase == processes::GroupKill::Phase::done);
}

// Forks 2,000 times in bursts, and has 40 children and grandchildren at its end that stay.
constexpr const char* storm =
    "for i in $(seq 40); do (sleep 1000 & exec sleep 1000) & done; "
    "for i in $(seq 2000); do (:) & [ $((i % 20)) = 0 ] && wait $!; done; exec sleep 1000";

}  // namespace

TEST_CASE("an overrun of the process connector ends in the same state as none") {
    if (!sys::open_connector()) {
        WARN("skipped: no process connector here");
        return;
    }
    const bool overruns = GENERATE(false, true);
    Reaper reaper;
    Kept kept;
    kept.connector = sys::open_connector().value().release();
    if (overruns) {
        const int bytes = 1;  // the kernel's least
        REQUIRE(::setsockopt(kept.connector, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes) == 0);
    }
    Watcher watcher(reaper, kept, Watcher::Source::connector);
    const pid_t first = reaper.start(Load::shell, storm, nullptr);
    kept.started[kept.started_count++] = {first, 0};
    const pid_t second = reaper.start(Load::shell, "sleep 1000 & exec sleep 1000", nullptr);
    kept.started[kept.started_count++] = {second, 1};
    // Until all that lives on is there; with the tiny buffer it is read too late for most of the events.
    for (int attempt = 0; attempt < 3000; ++attempt) {
        watcher.watch(milliseconds(20));
        const auto comm = watcher.files.stat(first);
        if (comm && comm->name == "sleep" && members(watcher, 0).size() == 81 &&
            members(watcher, 1).size() == 2) {
            break;
        }
    }
    watcher.settle();
    if (overruns) {  // on a machine that forks fast enough, also without
        CHECK(watcher.losses > 0);
    }
    std::set<pid_t> all = members(watcher, 0);
    CHECK(all.size() == 81);
    CHECK(members(watcher, 1).size() == 2);
    all.merge(members(watcher, 1));
    CHECK(all == descendants(watcher.files, reaper.pid()));
    CHECK(watcher.table->size() == 83);
    CHECK(watcher.attributed.empty());
    kill_all(watcher, 0);
    kill_all(watcher, 1);
}
