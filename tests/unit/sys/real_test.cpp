// The real side of the seam, against the machine the tests run on.

#include <poll.h>
#include <sched.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <catch2/catch.hpp>
#include <csignal>
#include <map>
#include <string>
#include <thread>
#include <vector>

#include "sys/affinity.h"
#include "sys/clocks.h"
#include "sys/machine.h"
#include "sys/pidfd.h"
#include "sys/proc_files.h"

using namespace gpcsup;

namespace {

// A child that waits on a pipe until the test lets go of it, then exits with 7.
class Child {
  public:
    Child() {
        REQUIRE(::pipe(pipe_) == 0);
        pid_ = ::fork();
        REQUIRE(pid_ >= 0);
        if (pid_ == 0) {
            ::close(pipe_[1]);
            char byte = 0;
            (void)!::read(pipe_[0], &byte, 1);
            ::_exit(7);
        }
        ::close(pipe_[0]);
    }
    Child(const Child&) = delete;
    Child& operator=(const Child&) = delete;
    ~Child() {
        release();
        if (pid_ > 0) {
            ::waitpid(pid_, nullptr, 0);
        }
    }
    void release() {
        if (pipe_[1] >= 0) {
            ::close(std::exchange(pipe_[1], -1));
        }
    }
    int reap() {
        int status = 0;
        ::waitpid(std::exchange(pid_, 0), &status, 0);
        return status;
    }
    [[nodiscard]] pid_t pid() const { return pid_; }

  private:
    int pipe_[2] = {-1, -1};
    pid_t pid_ = 0;
};

void wait_ended(const base::Fd& pidfd) {
    pollfd entry{.fd = pidfd.get(), .events = POLLIN, .revents = 0};
    REQUIRE(::poll(&entry, 1, 5000) == 1);
}

}  // namespace

TEST_CASE("a process is found in /proc, signalled by its identity, seen as a zombie, and gone") {
    auto files = sys::RealProcFiles::open();
    REQUIRE(files);
    sys::RealSignals signals(*files);
    sys::RealClocks clocks;
    Child child;
    const auto stat = files->stat(child.pid());
    REQUIRE(stat);
    CHECK(stat->parent == ::getpid());
    CHECK(stat->threads == 1);
    const auto children = files->children(::getpid());
    REQUIRE(children);
    CHECK(std::find(children->begin(), children->end(), child.pid()) != children->end());

    const base::ProcessId wrong{child.pid(), stat->start_time + 1};
    CHECK(signals.send(wrong, SIGKILL).error().code == ESRCH);
    auto pidfd = signals.open(stat->id());
    REQUIRE(pidfd);
    REQUIRE(signals.send(stat->id(), SIGKILL));
    wait_ended(*pidfd);
    CHECK(files->stat(child.pid())->ended());
    CHECK(clocks.process(child.pid()));  // a zombie's clock can still be read
    const pid_t pid = child.pid();
    CHECK(WTERMSIG(child.reap()) == SIGKILL);
    CHECK(files->stat(pid).error().code == ESRCH);
    CHECK(clocks.process(pid).error().code == ESRCH);
    CHECK(signals.open(stat->id()).error().code == ESRCH);
}

TEST_CASE("the CPU clock of a process grows with its work") {
    sys::RealClocks clocks;
    const auto before = clocks.process(::getpid());
    REQUIRE(before);
    volatile unsigned sink = 0;
    while (*clocks.process(::getpid()) < *before + std::chrono::milliseconds(5)) {
        sink = sink + 1;
    }
    CHECK(clocks.monotonic() > std::chrono::nanoseconds(0));
    CHECK(clocks.boot() >= clocks.monotonic());
}

TEST_CASE("affinity is adapted for those threads only that need it") {
    auto files = sys::RealProcFiles::open();
    REQUIRE(files);
    sys::RealAffinity affinity(*files);
    const auto all = affinity.get(0);
    REQUIRE(all);
    if (all->count() < 2) {
        return;  // there is no narrower mask here
    }
    base::CpuList first;
    first.insert(all->numbers().front());
    base::CpuList last;
    last.insert(all->numbers().back());
    const auto self = sys::identify(*files, ::getpid());
    REQUIRE(self);
    std::atomic<pid_t> pinned{0};
    std::atomic_flag stop;
    std::thread narrow([&] {
        pinned = ::gettid();
        pinned.notify_one();
        stop.wait(false);
    });
    pinned.wait(0);
    REQUIRE(affinity.set_thread(pinned, last));

    CHECK(affinity.adapt_process(*self, {}, *all, {}));
    CHECK(affinity.get(pinned)->format() == last.format());
    CHECK(affinity.get(0)->format() == all->format());
    CHECK(affinity.adapt_process(*self, *all, *all, {}));
    CHECK(affinity.get(pinned)->format() == last.format());
    CHECK(affinity.adapt_process(*self, {}, first, {}));  // both have a CPU outside
    CHECK(affinity.get(pinned)->format() == first.format());
    CHECK(affinity.get(0)->format() == first.format());
    REQUIRE(affinity.set_thread(pinned, last));
    CHECK(
        affinity.adapt_process(*self, first, *all, {}));  // who had the whole old set gets the whole new one
    CHECK(affinity.get(pinned)->format() == last.format());
    CHECK(affinity.get(0)->format() == all->format());
    CHECK(affinity.adapt_process({self->pid, self->start_time + 1}, {}, *all, {}).error().code == ESRCH);

    // A thread that is named is left out, and can be set by itself; by its start time, not its number alone.
    const auto thread = sys::identify_thread(*files, pinned);
    REQUIRE(thread);
    CHECK(thread->process == *self);
    CHECK(sys::identify_thread(*files, self->pid)->start_time == self->start_time);
    CHECK(affinity.set_process(*self, first, std::array{*thread}));
    CHECK(affinity.adapt_process(*self, {}, first, std::array{*thread}));
    CHECK(affinity.get(pinned)->format() == last.format());
    CHECK(affinity.get(0)->format() == first.format());
    CHECK(affinity.set(*thread, *all));
    CHECK(affinity.get(*thread)->format() == all->format());
    auto another = *thread;
    ++another.start_time;
    CHECK(affinity.set(another, first).error().code == ESRCH);
    CHECK(affinity.get(another).error().code == ESRCH);
    CHECK(affinity.set_process(*self, first, std::array{another}));
    CHECK(affinity.get(pinned)->format() == first.format());
    CHECK(sys::is_running(*files, *thread));
    CHECK_FALSE(sys::is_running(*files, another));
    // Thread by thread, with the mask of each; on this machine all its CPUs may be online.
    CHECK(affinity.whole(*thread)->format() == first.format());
    CHECK(affinity.whole(another).error().code == ESRCH);
    REQUIRE(affinity.set_thread(pinned, last));
    std::map<pid_t, std::string> had;
    const auto choose = [&](const base::ThreadId& each, const base::CpuList& has) {
        had[each.tid] = has.format();
        return each.tid == pinned ? std::nullopt : std::optional(*all);
    };
    CHECK(affinity.settle_process(*self, choose, {}));
    CHECK(had == std::map<pid_t, std::string>{{self->pid, first.format()}, {pinned, last.format()}});
    CHECK(affinity.get(0)->format() == all->format());
    CHECK(affinity.get(pinned)->format() == last.format());
    had.clear();
    CHECK(affinity.settle_process(*self, choose, std::array{*thread}));
    CHECK(had.size() == 1);
    CHECK(affinity.set_process(*self, *all, {}));
    stop.test_and_set();
    stop.notify_all();
    narrow.join();
    CHECK(sys::identify_thread(*files, 0).error().code == ESRCH);
}

TEST_CASE("affinity reaches every thread of a process") {
    auto files = sys::RealProcFiles::open();
    REQUIRE(files);
    sys::RealAffinity affinity(*files);
    sys::RealMachine machine;
    const auto all = affinity.get(0);
    REQUIRE(all);
    REQUIRE_FALSE(all->empty());
    CHECK(all->is_subset_of(*machine.online_cpus()));
    CHECK_FALSE(machine.online_nodes()->empty());

    std::atomic_flag stop;
    std::vector<std::thread> threads;
    for (int index = 0; index < 4; ++index) {
        threads.emplace_back([&] { stop.wait(false); });
    }
    base::CpuList one;
    one.insert(all->numbers().back());
    const auto self = sys::identify(*files, ::getpid());
    REQUIRE(self);
    CHECK(affinity.set_process(*self, one, {}));
    const auto tasks = files->tasks(::getpid());
    REQUIRE(tasks);
    CHECK(tasks->size() >= 5);
    for (const pid_t task : *tasks) {
        CHECK(affinity.get(task)->format() == one.format());
    }
    CHECK(affinity.set_process(*self, *all, {}));
    stop.test_and_set();
    stop.notify_all();
    for (auto& thread : threads) {
        thread.join();
    }
    CHECK(affinity.set_process({self->pid, self->start_time + 1}, one, {}).error().code == ESRCH);
}

TEST_CASE("affinity of a process with one thread") {
    auto files = sys::RealProcFiles::open();
    REQUIRE(files);
    sys::RealAffinity affinity(*files);
    const auto all = affinity.get(0);
    REQUIRE(all);
    base::CpuList one;
    one.insert(all->numbers().back());
    Child child;
    const auto identity = sys::identify(*files, child.pid());
    REQUIRE(identity);
    CHECK(affinity.set_process(*identity, one, {}));
    CHECK(affinity.get(child.pid())->format() == one.format());
    CHECK(affinity.set_process({identity->pid, identity->start_time + 1}, *all, {}).error().code == ESRCH);
    CHECK(affinity.get(child.pid())->format() == one.format());
}
