// gpc-enforce: answers the system calls that filters trap. Started by gpc-init, which gives it the shared
// table and every listener over the keeper socket. It never waits for anything a normal process does, and may
// be killed at any instant: its successor finds what it had received in the shared table.

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <initializer_list>

#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "enforcement/clock.h"
#include "enforcement/keeper.h"
#include "enforcement/listeners.h"
#include "enforcement/responder.h"
#include "enforcement/scheduling.h"

namespace gpcsup::enforcement {
namespace {

constexpr int round_size = 64;  // answers before anything else gets its turn
constexpr std::uint64_t repeat_ns = 10'000'000;

enum Source : std::uint64_t { from_keeper = wire::domain_count, from_wakeup, from_timer, from_others };

class Program {
  public:
    explicit Program(int keeper)
        : keeper_(keeper),
          everything_(epoll_create1(EPOLL_CLOEXEC)),
          others_(epoll_create1(EPOLL_CLOEXEC)),
          timer_(timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK)),
          listeners_(everything_),
          responder_(listeners_) {}

    [[nodiscard]] bool prepare() {
        return everything_ >= 0 && others_ >= 0 && timer_ >= 0 &&
               watch(others_, keeper_.descriptor(), from_keeper) && watch(others_, timer_, from_timer) &&
               watch(everything_, others_, from_others);
    }

    // Until gpc-init has gone and nobody is trapped any more.
    void run() {
        while (!orphaned_ || listeners_.count() > 0) {
            round();
        }
    }

  private:
    static bool watch(int epoll, int descriptor, std::uint64_t source) {
        epoll_event event{};
        event.events = EPOLLIN;
        event.data.u64 = source;
        return epoll_ctl(epoll, EPOLL_CTL_ADD, descriptor, &event) == 0;
    }

    void round() {
        arm_timer();
        epoll_event events[round_size];
        // Without the table nothing may be decided, and with every slot taken nothing more be received: both
        // must wait.
        const bool serving = complete_ && responder_.has_table() && responder_.has_room();
        const int count = epoll_wait(serving ? everything_ : others_, events, round_size, -1);
        bool others = !serving;
        for (int i = 0; i < count && serving; ++i) {
            if (events[i].data.u64 == from_others) {
                others = true;
            } else {
                serve(static_cast<std::uint32_t>(events[i].data.u64), events[i].events);
            }
        }
        if (others) {
            hear_others();
        }
        responder_.let_in();
        responder_.flush_wakeup();
        breather_.breathe(now_ns());
    }

    void serve(std::uint32_t index, std::uint32_t events) {
        if ((events & EPOLLIN) != 0) {
            responder_.serve(index);
        } else if ((events & (EPOLLHUP | EPOLLERR)) != 0) {
            const std::uint64_t key = listeners_.at(index).key;
            listeners_.remove(index);
            responder_.forget_domain(key);
            if (!orphaned_) {
                keeper_.drop_listener(key);
            }
        }
    }

    void hear_others() {
        epoll_event events[4];
        const int count = epoll_wait(others_, events, 4, 0);
        bool look = false;
        for (int i = 0; i < count; ++i) {
            switch (events[i].data.u64) {
                case from_keeper:
                    hear_keeper();
                    break;
                case from_wakeup:
                    drain(wakeup_);
                    look = true;
                    break;
                default:
                    drain(timer_);
                    armed_ = never;
                    look = true;
                    break;
            }
        }
        if (look && complete_ && responder_.has_table()) {
            responder_.look_again(now_ns());
        }
        keeper_.repeat();
    }

    static void drain(int counter) {
        std::uint64_t value = 0;
        static_cast<void>(!read(counter, &value, sizeof(value)));
    }

    void hear_keeper() {
        KeeperMessage received;
        for (int i = 0; i < round_size; ++i) {
            switch (keeper_.receive(received)) {
                case Heard::message:
                    obey(received);
                    break;
                case Heard::nothing:
                    return;
                case Heard::end:
                    // Whoever is trapped still deserves answers; gpcsupd is killing them all.
                    epoll_ctl(others_, EPOLL_CTL_DEL, keeper_.descriptor(), nullptr);
                    orphaned_ = true;
                    responder_.go_on_alone();
                    if (complete_ && responder_.has_table()) {
                        responder_.look_again(now_ns());
                    }
                    return;
            }
        }
    }

    void obey(const KeeperMessage& received) {
        const wire::KeepMessage& message = received.message;
        switch (message.verb) {
            case wire::KeepVerb::deliver:
                take(message.key, received.descriptor);
                return;
            case wire::KeepVerb::delivered:
                begin();
                return;
            case wire::KeepVerb::dropped:
                if (const std::uint32_t index = listeners_.find(message.key.id);
                    message.key.keep_class == wire::KeepClass::listener && message.key.id != 0 &&
                    index != wire::no_row) {
                    listeners_.remove(index);
                    if (responder_.has_table()) {
                        responder_.forget_domain(message.key.id);
                    }
                }
                break;
            default:
                break;
        }
        if (received.descriptor >= 0) {
            close(received.descriptor);
        }
    }

    void take(const wire::KeepKey& key, int descriptor) {
        if (descriptor < 0) {
            return;
        }
        switch (key.keep_class) {
            case wire::KeepClass::enforcement_table:
                map_table(descriptor);
                return;
            case wire::KeepClass::listener:
                add_listener(key.id, descriptor);
                return;
            case wire::KeepClass::supervisor_wakeup:
                responder_.use_supervisor_wakeup(descriptor);
                return;
            case wire::KeepClass::enforce_wakeup:
                if (wakeup_ >= 0) {
                    epoll_ctl(others_, EPOLL_CTL_DEL, wakeup_, nullptr);
                    close(wakeup_);
                }
                wakeup_ = descriptor;
                watch(others_, wakeup_, from_wakeup);
                return;
            default:
                close(descriptor);
                return;
        }
    }

    void add_listener(std::uint64_t key, int descriptor) {
        const std::uint32_t index = key == 0 ? wire::no_row : listeners_.add(key, descriptor);
        if (index == wire::no_row) {
            close(descriptor);
        } else if (responder_.has_table()) {
            responder_.listening(index);
        }
        note_sync_wakeup();
    }

    void map_table(int descriptor) {
        std::uint32_t version = 0;
        struct stat status {};
        const bool readable = pread(descriptor, &version, sizeof(version), 0) == sizeof(version) &&
                              fstat(descriptor, &status) == 0;
        if (readable && table_ != nullptr && status.st_ino == table_inode_) {
            close(descriptor);  // once more, with a whole set
            return;
        }
        if (readable && version != wire::enforcement_version) {
            close(descriptor);
            make_place();
            return;
        }
        void* memory = MAP_FAILED;
        if (readable && static_cast<std::size_t>(status.st_size) >= sizeof(wire::EnforcementTable)) {
            memory = mmap(nullptr, sizeof(wire::EnforcementTable), PROT_READ | PROT_WRITE, MAP_SHARED,
                          descriptor, 0);
        }
        close(descriptor);
        if (memory == MAP_FAILED) {
            return;
        }
        auto* table = static_cast<wire::EnforcementTable*>(memory);
        if (table_ != nullptr) {
            if (complete_) {
                responder_.answer_all();
            }
            munmap(table_, sizeof(wire::EnforcementTable));
        }
        table_ = table;
        table_inode_ = status.st_ino;
        responder_.use_table(table);
        lock_pages();
        table->scheduling.store(static_cast<std::uint32_t>(policy_));
        if (complete_) {
            responder_.adopt();
        }
    }

    // gpcsupd is of another version than we: it writes into a table that only a program of its own time can
    // read, and nobody looks at ours any more. gpc-init starts that program. Who is of a later version than
    // gpcsupd finds no table, and waits for one.
    void make_place() {
        if (table_ == nullptr) {
            return;
        }
        if (complete_) {
            responder_.answer_all();
        }
        std::fputs("gpc-enforce: the table is of another version now: making place\n", stderr);
        std::_Exit(0);
    }

    void begin() {
        complete_ = true;
        if (responder_.has_table()) {
            note_sync_wakeup();
            responder_.adopt();
        }
        keeper_.tell(wire::KeepVerb::ready);
    }

    void note_sync_wakeup() {
        if (table_ != nullptr) {
            table_->sync_wakeup.store(listeners_.sync_wakeup() ? 1 : 0);
        }
    }

    void arm_timer() {
        std::uint64_t wanted = responder_.next_look();
        if (keeper_.owes()) {
            const std::uint64_t repeat = now_ns() + repeat_ns;
            wanted = repeat < wanted ? repeat : wanted;
        }
        if (wanted == armed_ || (wanted == never && armed_ == never)) {
            return;
        }
        itimerspec when{};
        if (wanted != never) {
            when.it_value.tv_sec = static_cast<time_t>(wanted / 1'000'000'000);
            when.it_value.tv_nsec = static_cast<long>(wanted % 1'000'000'000);
        }
        timerfd_settime(timer_, TFD_TIMER_ABSTIME, &when, nullptr);
        armed_ = wanted;
    }

  public:
    Policy policy_ = Policy::ordinary;

  private:
    Keeper keeper_;
    int everything_;  // the listeners, and `others_`
    int others_;
    int timer_;
    int wakeup_ = -1;
    Listeners listeners_;
    Responder responder_;
    Breather breather_;
    wire::EnforcementTable* table_ = nullptr;
    ino_t table_inode_ = 0;
    bool complete_ = false;
    bool orphaned_ = false;
    std::uint64_t armed_ = never;
};

void prepare_process() {
    for (const int number : {SIGINT, SIGTERM, SIGHUP, SIGPIPE}) {
        std::signal(number, SIG_IGN);  // gpc-init ends us; a Ctrl-C in its terminal must not
    }
    rlimit files{};
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
}

int run(int keeper) {
    prepare_process();
    static Program program(keeper);
    if (!program.prepare()) {
        std::fprintf(stderr, "gpc-enforce: cannot wait for descriptors: %s\n", std::strerror(errno));
        return 1;
    }
    program.policy_ = raise_priority();
    program.run();
    return 0;
}

}  // namespace
}  // namespace gpcsup::enforcement

int main() {
    const char* text = std::getenv(gpcsup::wire::keeper_variable);
    char* end = nullptr;
    const long number = text == nullptr ? -1 : std::strtol(text, &end, 10);
    if (number < 0 || *end != '\0') {
        std::fputs("gpc-enforce is started by gpc-init, which names its socket in GPCSUP_KEEPER\n", stderr);
        return 64;
    }
    return gpcsup::enforcement::run(static_cast<int>(number));
}
