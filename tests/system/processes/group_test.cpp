// Groups of real processes: counted as the kernel's pids controller counts them, and killed however they run.

#include <sys/mman.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <csignal>

#include "processes/group_kill.h"
#include "system/processes/watcher.h"

using namespace gpcsup;
using namespace gpcsup::tests;
using processes::GroupKill;
using std::chrono::milliseconds;
using std::chrono::seconds;

namespace {

struct Setup {
    explicit Setup(Watcher::Source source)
        : kept(*new (::mmap(nullptr, sizeof(Kept), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0))
                   Kept) {
        if (KernelGroup::available()) {
            kernel.emplace("group");
        }
        watcher.emplace(reaper, kept, source);
    }
    Setup(const Setup&) = delete;
    Setup& operator=(const Setup&) = delete;
    ~Setup() {
        for (const int descriptor : {kept.table, kept.connector, kept.taskstats}) {
            ::close(descriptor);
        }
        ::munmap(&kept, sizeof kept);
    }
    pid_t start(Load load, const std::string& text) {
        const pid_t pid = reaper.start(load, text, kernel ? &*kernel : nullptr);
        kept.started[kept.started_count++] = {pid, 0};
        return pid;
    }
    // Steps as the loop would: at the tracker's news, or when the step asks for another.
    GroupKill::Status kill() {
        GroupKill kill(
            {*watcher->table, watcher->files, watcher->signals, watcher->clocks, *watcher->tracker},
            watcher->group(0), seconds(5));
        auto status = kill.step();
        while (!status.over()) {
            watcher->watch(std::chrono::ceil<milliseconds>(status.again));
            status = kill.step();
        }
        for (const auto& survivor : kill.survivors()) {
            UNSCOPED_INFO(survivor.process.pid << " " << survivor.reason);
        }
        return status;
    }
    Reaper reaper;
    Kept& kept;
    std::optional<KernelGroup> kernel;
    std::optional<Watcher> watcher;
};

std::size_t members(Watcher& watcher) {
    std::size_t count = 0;
    watcher.table->for_each_member(watcher.group(0), [&](processes::Process&) { ++count; });
    return count;
}

bool has_connector() {
    if (sys::open_connector()) {
        return true;
    }
    WARN("no process connector here");
    return false;
}

}  // namespace

TEST_CASE("threads and zombies are counted as the kernel counts them") {
    const auto source = GENERATE(Watcher::Source::connector, Watcher::Source::sweep);
    if (source == Watcher::Source::connector && !has_connector()) {
        return;
    }
    Setup setup(source);
    const pid_t threads = setup.start(Load::threads, "10");
    setup.start(Load::shell, "sleep 1000 & sleep 1000 & wait");
    Watcher& watcher = *setup.watcher;
    processes::TaskCounter counter(*watcher.table, watcher.files, *watcher.lineage);
    // 10 threads, a zombie, a shell and two sleepers.
    processes::TaskCount count;
    for (int attempt = 0; attempt < 100 && count.tasks != 14; ++attempt) {
        watcher.watch(milliseconds(20));
        REQUIRE(watcher.tracker->drain());
        count = counter.exact(watcher.group(0), watcher.tracker->quality());
    }
    CHECK(count.tasks == 14);
    CHECK(count.processes == 5);
    if (setup.kernel) {
        CHECK(setup.kernel->tasks() == 14);
    }
    CHECK(watcher.table->find(threads) != nullptr);
    CHECK(setup.kill().phase == GroupKill::Phase::done);
    watcher.watch(seconds(5), threads);
    watcher.watch(milliseconds(100));
    CHECK(counter.exact(watcher.group(0), watcher.tracker->quality()).tasks == 0);
    if (setup.kernel) {
        CHECK(setup.kernel->tasks() == 0);
    }
}

TEST_CASE("daemons that left session, parent and environment behind die with their group") {
    if (!has_connector()) {
        return;
    }
    Setup setup(Watcher::Source::connector);
    setup.start(Load::tree, "10");
    Watcher& watcher = *setup.watcher;
    // More for a moment: the parents in between have not ended yet.
    for (int attempt = 0; attempt < 300 && members(watcher) != 21; ++attempt) {
        watcher.watch(milliseconds(20));
    }
    CHECK(members(watcher) == 21);
    CHECK(setup.kill().phase == GroupKill::Phase::done);
    watcher.watch(milliseconds(200));
    CHECK(members(watcher) == 0);
    CHECK(watcher.table->size() == 0);
    CHECK_FALSE(watcher.emptied.empty());
    if (setup.kernel) {
        CHECK(setup.kernel->processes().empty());
    }
}

TEST_CASE("a sweep finds daemons by the marker in their environment, and their group is killed") {
    Setup setup(Watcher::Source::sweep);
    setup.start(Load::shell,
                "export GPCSUP_ID=a; exec bash -c "
                "'for i in 1 2 3 4 5 6 7 8 9 10; do (setsid sleep 1000 &); done; exec sleep 1000'");
    Watcher& watcher = *setup.watcher;
    for (int attempt = 0; attempt < 300 && members(watcher) != 11; ++attempt) {
        watcher.watch(milliseconds(20));
    }
    CHECK(members(watcher) == 11);
    CHECK(setup.kill().phase == GroupKill::Phase::done);
    watcher.watch(milliseconds(200));
    CHECK(members(watcher) == 0);
    if (setup.kernel) {
        CHECK(setup.kernel->processes().empty());
    }
}

TEST_CASE("processes that live on only in their children are caught") {
    if (!has_connector()) {
        return;
    }
    Setup setup(Watcher::Source::connector);
    for (int index = 0; index < 4; ++index) {
        setup.start(Load::hopper, "");
    }
    setup.watcher->watch(milliseconds(200));
    CHECK(setup.watcher->table->size() > 0);
    CHECK(setup.kill().phase == GroupKill::Phase::done);
    setup.watcher->watch(milliseconds(200));
    CHECK(setup.watcher->table->size() == 0);
    if (setup.kernel) {
        CHECK(setup.kernel->processes().empty());
    }
}
