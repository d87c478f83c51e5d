// The real gpc-reader moving pages, as far as a machine with one node shows it; tests/vm/run_memset.py has
// four.

#include <cerrno>
#include <csignal>
#include <cstring>

#include <poll.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>

#include "launch/page_mover.h"
#include "stage.h"

using namespace gpcsup;

namespace {

std::uint64_t start_time_of(pid_t pid) {
    std::FILE* file = std::fopen(("/proc/" + std::to_string(pid) + "/stat").c_str(), "re");
    REQUIRE(file != nullptr);
    char text[1024] = {};
    REQUIRE(std::fgets(text, sizeof(text), file) != nullptr);
    (void)std::fclose(file);
    std::string_view rest = std::strrchr(text, ')');
    for (int field = 0; field < 20; ++field) {
        rest.remove_prefix(rest.find(' ') + 1);
    }
    return std::strtoull(rest.data(), nullptr, 10);
}

// A process with 64 MiB of its own that waits for its end.
class Holder {
  public:
    Holder() {
        int ready[2];
        REQUIRE(pipe(ready) == 0);
        pid_ = fork();
        if (pid_ == 0) {
            void* memory = mmap(nullptr, size, PROT_READ | PROT_WRITE,
                                MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
            const char word = memory == MAP_FAILED ? 'n' : 'y';
            (void)!write(ready[1], &word, 1);
            for (;;) {
                pause();
            }
        }
        char word = 0;
        REQUIRE(read(ready[0], &word, 1) == 1);
        REQUIRE(word == 'y');
        close(ready[0]);
        close(ready[1]);
        id_ = {pid_, start_time_of(pid_)};
    }
    ~Holder() { end(); }
    Holder(const Holder&) = delete;
    Holder& operator=(const Holder&) = delete;

    void end() {
        if (pid_ > 0) {
            kill(pid_, SIGKILL);
            waitpid(pid_, nullptr, 0);
            pid_ = 0;
        }
    }
    [[nodiscard]] base::ProcessId id() const { return id_; }

  private:
    static constexpr std::size_t size = 64u << 20;
    pid_t pid_ = 0;
    base::ProcessId id_;
};

struct Told {
    base::ProcessId process;
    launch::PageMover::Outcome outcome;
};

class Mover {
  public:
    explicit Mover(std::string program = test::program("gpc-reader"))
        : mover(std::move(program),
                [this](base::ProcessId process, const launch::PageMover::Outcome& outcome) {
                    told.push_back({process, outcome});
                }) {}
    // Until so many have been told of; at most 60 s.
    void run(std::size_t wanted) {
        mover.proceed();
        while (told.size() < wanted) {
            step();
        }
    }
    void step() {
        std::vector<pollfd> watched;
        for (const int descriptor : mover.descriptors()) {
            watched.push_back({descriptor, POLLIN, 0});
        }
        REQUIRE(poll(watched.data(), watched.size(), 60'000) > 0);
        for (const pollfd& each : watched) {
            if (each.revents != 0) {
                mover.on_readable(each.fd);
                return;
            }
        }
    }
    std::vector<Told> told;
    launch::PageMover mover;
};

const base::CpuList here = base::CpuList::up_to(1);
const base::CpuList nowhere = base::parse_cpu_list("1000").value();

}  // namespace

TEST_CASE("a process whose memory is where it belongs is walked through, and nothing is moved") {
    const Holder holder;
    Mover mover;
    mover.mover.add(holder.id(), here, here);
    CHECK(mover.mover.descriptors().empty());  // nothing before it is told to
    mover.run(1);
    CHECK(mover.told[0].process == holder.id());
    CHECK(mover.told[0].outcome.error == 0);
    CHECK(mover.told[0].outcome.moved + mover.told[0].outcome.left + mover.told[0].outcome.shared == 0);
    while (!mover.mover.descriptors().empty()) {  // without work there is no reader
        mover.step();
    }
}

TEST_CASE("a node that is not there is the kernel's error, and the next process has its turn") {
    const Holder first;
    const Holder second;
    Mover mover;
    mover.mover.add(first.id(), here, nowhere);
    mover.mover.add(second.id(), here, here);
    mover.run(2);
    for (const Told& told : mover.told) {
        CHECK(told.outcome.error == (told.process == first.id() ? ENODEV : 0));
    }
}

TEST_CASE("who has gone, or has another's number, is not touched") {
    Holder gone;
    const Holder other;
    gone.end();
    Mover mover;
    mover.mover.add(gone.id(), here, nowhere);
    mover.mover.add({other.id().pid, other.id().start_time + 1}, here, nowhere);
    mover.run(2);
    CHECK(mover.told[0].outcome.error == ESRCH);
    CHECK(mover.told[1].outcome.error == ESRCH);
}

TEST_CASE("a newer wish replaces the older one, and who is forgotten is told of no more") {
    const Holder first;
    const Holder second;
    Mover mover;
    mover.mover.add(first.id(), here, nowhere);
    mover.mover.add(second.id(), here, nowhere);
    mover.mover.proceed();
    mover.mover.add(first.id(), here, here);  // its slice is under way
    mover.mover.forget(second.id());
    mover.run(1);
    CHECK(mover.told[0].process == first.id());
    CHECK(mover.told[0].outcome.error == 0);
    while (!mover.mover.descriptors().empty()) {
        mover.step();
    }
    CHECK(mover.told.size() == 1);
}

TEST_CASE("a reader that dies, does not answer, or cannot be started fails its process only") {
    const Holder holder;
    SECTION("dies") {
        Mover mover("/bin/false");
        mover.mover.add(holder.id(), here, here);
        mover.run(1);
        CHECK(mover.told[0].outcome.error == ECHILD);
    }
    SECTION("is late") {
        Mover mover;
        mover.mover.add(holder.id(), here, here);
        mover.mover.proceed();
        REQUIRE(mover.mover.deadline());
        mover.mover.on_deadline(*mover.mover.deadline());
        REQUIRE(mover.told.size() == 1);
        CHECK(mover.told[0].outcome.error == ETIMEDOUT);
    }
    SECTION("cannot be started") {
        Mover mover("/nowhere/gpc-reader");
        mover.mover.add(holder.id(), here, here);
        mover.mover.proceed();
        REQUIRE(mover.told.size() == 1);
        CHECK(mover.told[0].outcome.error == ENOENT);
    }
}

TEST_CASE("another user's process is refused by the kernel, and the error says so") {
    if (geteuid() != 0) {
        WARN("skipped: only root may be somebody else");
        return;
    }
    const Holder holder;  // root's
    const pid_t child = fork();
    if (child == 0) {
        if (setresuid(65534, 65534, 65534) != 0) {
            _exit(2);
        }
        int error = -1;
        launch::PageMover mover(
            test::program("gpc-reader"),
            [&](base::ProcessId, const launch::PageMover::Outcome& outcome) { error = outcome.error; });
        mover.add(holder.id(), here, nowhere);
        mover.proceed();
        while (error < 0 && !mover.descriptors().empty()) {
            pollfd watched{mover.descriptors().front(), POLLIN, 0};
            if (poll(&watched, 1, 60'000) <= 0) {
                _exit(3);
            }
            mover.on_readable(watched.fd);
        }
        _exit(error == EACCES || error == EPERM ? 0 : 4);
    }
    int status = 0;
    REQUIRE(waitpid(child, &status, 0) == child);
    CHECK(WEXITSTATUS(status) == 0);
}
