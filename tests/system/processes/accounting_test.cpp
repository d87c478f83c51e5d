// CPU time against the kernel's own cpuacct, for loads that no reader of clocks could follow.

#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <random>

#include "system/processes/watcher.h"

using namespace gpcsup;
using namespace gpcsup::tests;
using std::chrono::seconds;

namespace {

Kept& keep() {
    void* memory = ::mmap(nullptr, sizeof(Kept), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    REQUIRE(memory != MAP_FAILED);
    return *new (memory) Kept;
}

void discard(Kept& kept) {
    for (const int descriptor : {kept.table, kept.connector, kept.taskstats}) {
        if (descriptor >= 0) {
            ::close(descriptor);
        }
    }
    ::munmap(&kept, sizeof kept);
}

class Scratch {
  public:
    Scratch() {
        char name[] = "/tmp/gpcsup-tracking-XXXXXX";
        REQUIRE(::mkdtemp(name) != nullptr);
        path_ = name;
    }
    ~Scratch() { std::filesystem::remove_all(path_); }
    Scratch(const Scratch&) = delete;
    Scratch& operator=(const Scratch&) = delete;
    [[nodiscard]] const std::filesystem::path& path() const { return path_; }

  private:
    std::filesystem::path path_;
};

// Two compilers at a time, as make -j2 runs them: compiler drivers with children of their own, pipes, an
// assembler.
std::string compile_load(const Scratch& scratch, int files) {
    for (int index = 0; index < files; ++index) {
        std::ofstream file(scratch.path() / ("part" + std::to_string(index) + ".cpp"));
        file << "#include <map>\n#include <string>\nint part" << index
             << "() { std::map<std::string, int> m; m[\"x\"] = " << index << "; return m.size(); }\n";
    }
    return "cd " + scratch.path().string() +
           "; build() { for f in $1; do g++ -O1 -c $f -o $f.o; done; }; "
           "build \"part*[02468].cpp\" & build \"part*[13579].cpp\" & wait";
}

std::string fork_load(int loops) {
    return "for i in $(seq " + std::to_string(loops) +
           "); do /bin/true; echo $i | cat | cat >/dev/null; ( : ); (sleep 0 & ) ; done";
}

void start(Reaper& reaper, Kept& kept, const std::string& command, std::uint32_t group,
           const KernelGroup* kernel, pid_t& pid) {
    pid = reaper.start(Load::shell, command, kernel);
    kept.started[kept.started_count] = {pid, group};
    ++kept.started_count;
}

double error_of(std::uint64_t seen, std::uint64_t expected) {
    return (static_cast<double>(seen) - static_cast<double>(expected)) / static_cast<double>(expected);
}

void compare(Watcher& watcher, std::uint64_t expected_a, std::uint64_t expected_b, bool exact) {
    const double sum = error_of(watcher.total(), expected_a + expected_b);
    const double a = error_of(watcher.usage(0), expected_a);
    const double b = error_of(watcher.usage(1), expected_b);
    WARN((exact ? "connector" : "sweep")
         << ": sum " << sum * 100 << " %, a " << a * 100 << " %, b " << b * 100 << " % of "
         << expected_a / 1'000'000 << " and " << expected_b / 1'000'000 << " ms");
    CHECK(std::abs(sum) < 0.001);
    if (exact && watcher.losses > 0) {
        WARN("the machine forks faster than we read: only the sum is promised then");
    } else if (exact) {
        CHECK(std::abs(a) < 0.005);
        CHECK(std::abs(b) < 0.005);
    }
}

}  // namespace

TEST_CASE("CPU time of groups agrees with the kernel's cpuacct") {
    const auto source = GENERATE(Watcher::Source::connector, Watcher::Source::sweep);
    const bool exact = source == Watcher::Source::connector;
    if (exact && !sys::open_connector()) {
        WARN("no process connector here");
        return;
    }
    const bool has_kernel = KernelGroup::available();
    Reaper reaper;
    Kept& kept = keep();
    Scratch scratch;
    std::optional<KernelGroup> kernel_a;
    std::optional<KernelGroup> kernel_b;
    if (has_kernel) {
        kernel_a.emplace("a");
        kernel_b.emplace("b");
    }
    {
        Watcher watcher(reaper, kept, source);
        pid_t compile = 0;
        pid_t shell = 0;
        start(reaper, kept, compile_load(scratch, 6), 0, has_kernel ? &*kernel_a : nullptr, compile);
        start(reaper, kept, fork_load(400), 1, has_kernel ? &*kernel_b : nullptr, shell);
        watcher.watch(seconds(120), compile);
        watcher.watch(seconds(120), shell);
        REQUIRE(watcher.was_reaped(compile));
        REQUIRE(watcher.was_reaped(shell));
        watcher.watch(std::chrono::milliseconds(100));  // the last orphans
        watcher.settle();
        CHECK(watcher.table->size() == 0);
        // Without the kernel's books: what waitid(2) said of gpc-init's children contains everybody else.
        CHECK(std::abs(error_of(watcher.total(), watcher.reaped_total_ns())) < 0.001);
        if (has_kernel) {
            compare(watcher, kernel_a->cpu_ns(), kernel_b->cpu_ns(), exact);
        }
    }
    discard(kept);
}

TEST_CASE("a watcher that is killed again and again loses no time and counts none twice") {
    if (!sys::open_connector()) {
        WARN("skipped: no process connector here");
        return;
    }
    const bool has_kernel = KernelGroup::available();
    const unsigned seed = std::random_device()();
    std::mt19937 random(seed);
    CAPTURE(seed);
    Reaper reaper;
    Kept& kept = keep();
    Scratch scratch;
    std::optional<KernelGroup> kernel_a;
    std::optional<KernelGroup> kernel_b;
    if (has_kernel) {
        kernel_a.emplace("a");
        kernel_b.emplace("b");
    }
    pid_t compile = 0;
    pid_t shell = 0;
    { Watcher first(reaper, kept, Watcher::Source::connector); }
    start(reaper, kept, compile_load(scratch, 6), 0, has_kernel ? &*kernel_a : nullptr, compile);
    start(reaper, kept, fork_load(400), 1, has_kernel ? &*kernel_b : nullptr, shell);
    std::uint64_t last_total = 0;
    int kills = 0;
    for (bool running = true; running; ++kills) {
        const pid_t victim = ::fork();
        REQUIRE(victim >= 0);
        if (victim == 0) {
            Watcher watcher(reaper, kept, Watcher::Source::connector);
            watcher.watch(seconds(60));
            ::_exit(0);
        }
        ::usleep(std::uniform_int_distribution<useconds_t>(1'000, 120'000)(random));
        ::kill(victim, SIGKILL);
        REQUIRE(::waitpid(victim, nullptr, 0) == victim);
        running = ::kill(compile, 0) == 0 || ::kill(shell, 0) == 0;
        Watcher witness(reaper, kept, Watcher::Source::connector);
        REQUIRE(witness.total() >= last_total);
        last_total = witness.total();
    }
    {
        Watcher last(reaper, kept, Watcher::Source::connector);
        last.watch(std::chrono::milliseconds(200));
        last.settle();
        CHECK(last.table->size() == 0);
        if (has_kernel) {
            const std::uint64_t expected_a = kernel_a->cpu_ns();
            const std::uint64_t expected_b = kernel_b->cpu_ns();
            const double sum = error_of(last.total(), expected_a + expected_b);
            const double a = error_of(last.usage(0), expected_a);
            WARN(kills << " kills: sum " << sum * 100 << " %, a " << a * 100 << " %, b "
                       << error_of(last.usage(1), expected_b) * 100 << " %");
            CHECK(std::abs(sum) < 0.001);
            CHECK(std::abs(a) < 0.005);
        }
    }
    CHECK(kills >= 10);
    discard(kept);
}
