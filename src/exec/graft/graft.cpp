#include "exec/graft/graft.h"

#include <algorithm>
#include <cerrno>

#include <linux/seccomp.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "exec/graft/borrow.h"
#include "exec/graft/handover.h"

#ifndef SECCOMP_FILTER_FLAG_TSYNC_ESRCH
#define SECCOMP_FILTER_FLAG_TSYNC_ESRCH (1UL << 4)
#endif

namespace gpcsup::exec {
namespace {

using std::chrono::steady_clock;
using wire::GraftOutcome;

constexpr std::chrono::milliseconds handover_time{2000};
constexpr std::chrono::milliseconds pause_between{
    2};  // doubling: a thread may come out of its call by itself
constexpr std::chrono::milliseconds longest_pause{50};
constexpr unsigned most_without_room = 10;
constexpr unsigned most_denials = 5;
constexpr unsigned most_a_round = 16;  // threads that are stopped and looked at, of one process in one round
constexpr Rank worst_of_round[] = {Rank::clean, Rank::likely, Rank::timed, Rank::repaired, Rank::masked};
constexpr unsigned rounds_until_worst = sizeof(worst_of_round) / sizeof(worst_of_round[0]) - 1;

// The kernel looks at the flags before it looks at the program.
std::uint32_t known_flags() {
    constexpr std::uint32_t wait_killable = 1U << 5;  // Linux 5.19
    constexpr std::uint32_t least =
        SECCOMP_FILTER_FLAG_NEW_LISTENER | SECCOMP_FILTER_FLAG_TSYNC | SECCOMP_FILTER_FLAG_TSYNC_ESRCH;
    const bool all =
        syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, least | wait_killable, nullptr) < 0 && errno == EFAULT;
    return all ? least | wait_killable : least;
}

Thread threads[most_threads];
bool tried[most_threads];

class Graft {
  public:
    explicit Graft(const wire::GraftRequest& request)
        : request_(request), until_(steady_clock::now() + std::chrono::milliseconds(request.timeout_ms)) {
        job_.process = request.pid;
        job_.filter = request.filter;
        job_.filter_count = request.filter_count;
        job_.flags = known_flags();
        job_.owner = this;
        job_.on_installed = [](Job& job, pid_t thread, int number) {
            static_cast<Graft*>(job.owner)->installed(job, thread, number);
        };
        job_.on_exiting = [](Job& job, pid_t thread) {
            static_cast<Graft*>(job.owner)->exiting(job, thread);
        };
    }

    wire::GraftAnswer run() {
        prepare_waiting();
        answer_.outcome = go();
        answer_.attempts = job_.attempts;
        answer_.stopped_ns = static_cast<std::uint64_t>(job_.stopped.count());
        answer_.thread = job_.thread;
        return answer_;
    }

  private:
    GraftOutcome go();
    [[nodiscard]] GraftOutcome look_first();
    GraftOutcome set();
    enum class Round { nothing, done, over };
    Round try_threads(Job& job, Rank worst, std::size_t count, GraftOutcome& outcome);
    void installed(Job& job, pid_t thread, int number);
    void exiting(Job& job, pid_t thread);
    void fetch(pid_t thread, int number);
    GraftOutcome adopt(std::size_t count);
    GraftOutcome settle();
    GraftOutcome close_copies(pid_t process);
    GraftOutcome close_copy(pid_t process, int number);
    [[nodiscard]] int find_copy(pid_t process);
    [[nodiscard]] int find_copy(pid_t process, pid_t thread);
    [[nodiscard]] GraftOutcome why_not_set();
    [[nodiscard]] GraftOutcome denied(int error);

    const wire::GraftRequest& request_;
    Moment until_;
    Job job_;
    Descriptor listener_;
    unsigned without_room_ = 0;
    unsigned denials_ = 0;
    int handover_error_ = EIO;  // until it has been handed over
    wire::GraftAnswer answer_;
};

GraftOutcome Graft::go() {
    if (const GraftOutcome outcome = look_first(); outcome != GraftOutcome::enforced) {
        return outcome;
    }
    const GraftOutcome outcome = set();
    return outcome == GraftOutcome::enforced ? settle() : outcome;
}

GraftOutcome Graft::look_first() {
    if (read_start_time(request_.pid) != request_.start_time) {
        return GraftOutcome::gone;
    }
    int error = look_allowed(request_.pid);
    for (unsigned again = 1; error != 0 && again < most_denials;
         ++again) {  // not while it executes a program
        pause_until(steady_clock::now() + pause_between);
        error = look_allowed(request_.pid);
    }
    if (error != 0) {
        return denied(error);
    }
    // A leader that has ended has no program to be looked at; the registers of the others tell.
    return read_abi(request_.pid) == Abi::other ? GraftOutcome::other_abi : GraftOutcome::enforced;
}

GraftOutcome Graft::denied(int error) {
    if (error == ENOENT || error == ESRCH) {
        return GraftOutcome::gone;
    }
    answer_.error = error;
    return GraftOutcome::not_permitted;
}

// Until all threads have the filter, and its listener is here.
GraftOutcome Graft::set() {
    auto pause = pause_between;
    for (unsigned round = 0; steady_clock::now() < until_; ++round) {
        const std::size_t count = read_threads(request_.pid, threads);
        const Judgement judgement = judge({threads, count}, getpid());
        answer_.other = judgement.other;
        if (judgement.outcome == GraftOutcome::own_filter &&
            (request_.mode == wire::GraftMode::recover || job_.begun == Job::Begun::yes)) {
            return adopt(count);
        }
        if (judgement.outcome != GraftOutcome::enforced) {
            return judgement.outcome;
        }
        if (round == 0 && find_listener(request_.pid, request_.pid) >= 0) {
            return GraftOutcome::own_listener;
        }
        GraftOutcome outcome = GraftOutcome::no_thread;
        const Rank worst = worst_of_round[std::min(round, rounds_until_worst)];
        switch (try_threads(job_, worst, count, outcome)) {
            case Round::done:
                return job_.installed == Job::Installed::yes ? GraftOutcome::enforced : why_not_set();
            case Round::over:
                return outcome;
            case Round::nothing:
                break;
        }
        pause_until(std::min<Moment>(until_, steady_clock::now() + pause));
        pause = std::min<std::chrono::milliseconds>(2 * pause, longest_pause);
    }
    const std::size_t count = read_threads(request_.pid, threads);  // one may have come late
    const bool late = job_.begun == Job::Begun::yes &&
                      judge({threads, count}, getpid()).outcome == GraftOutcome::own_filter;
    return late ? adopt(count) : GraftOutcome::no_thread;
}

Graft::Round Graft::try_threads(Job& job, Rank worst, std::size_t count, GraftOutcome& outcome) {
    std::fill_n(tried, count, false);
    for (unsigned tries = 0; tries < most_a_round && steady_clock::now() < until_; ++tries) {
        const std::size_t at = choose({threads, count}, {tried, count}, worst);
        if (at == count) {
            return Round::nothing;
        }
        tried[at] = true;
        const Loan loan = borrow(threads[at], worst, job, until_);
        const int error = errno;
        switch (loan) {
            case Loan::done:
                return Round::done;
            case Loan::cut_short:
                return job.installed == Job::Installed::yes ? Round::done : Round::nothing;
            case Loan::unfit:
                break;
            case Loan::no_room:  // also in the middle of an execve
                outcome = GraftOutcome::no_room;
                return ++without_room_ < most_without_room ? Round::nothing : Round::over;
            case Loan::denied: {
                const ThreadStatus status = read_status(job.process, threads[at].tid);
                answer_.other = status.tracer;
                if (status.tracer != 0 && status.tracer != getpid()) {
                    outcome = GraftOutcome::traced;
                    return Round::over;
                }
                outcome = denied(error);  // also of a thread that ends just now
                return ++denials_ < most_denials ? Round::nothing : Round::over;
            }
        }
    }
    return Round::nothing;
}

GraftOutcome Graft::why_not_set() {
    answer_.error = job_.error;
    switch (job_.error) {
        case ESRCH:  // with TSYNC_ESRCH: a thread has got one of its own since we looked
        case EBUSY:
            return GraftOutcome::own_filter;
        case EACCES:
            return GraftOutcome::needs_promise;
        default:
            return GraftOutcome::failed;
    }
}

// The thread stands still, and every call that the filter traps waits, until gpc-enforce has the listener.
void Graft::installed(Job& job, pid_t thread, int number) {
    fetch(thread, number);
    // While gpc-init does not have it, the process's own copy is what keeps its calls from failing.
    if (listener_ && handover_error_ == 0 && compare(thread, number, listener_) == Copy::yes) {
        job.close = number;
    }
}

// An execve in another thread, or a SIGKILL, ends it before we were told that it has set the filter. If it
// has, a process that goes on has nobody else to answer for it.
void Graft::exiting(Job& job, pid_t thread) {
    if (const int number = find_listener(request_.pid, thread); number >= 0) {
        fetch(thread, number);
    }
    job.installed = listener_ ? Job::Installed::yes : Job::Installed::no;
}

// Its table of descriptors is shared with others, who may have put something else there: it is looked at
// here.
void Graft::fetch(pid_t thread, int number) {
    const Descriptor itself = open_thread(request_.pid, thread);
    Descriptor fetched(static_cast<int>(syscall(SYS_pidfd_getfd, itself.get(), number, 0)));
    if (!fetched || look_at(fetched) != Is::listener) {
        return;
    }
    listener_ = static_cast<Descriptor&&>(fetched);
    handover_error_ = hand_over(listener_, request_.listener_key, steady_clock::now() + handover_time);
}

// A filter is there that we, or a predecessor, may have set: its listener is in the table of one of the
// threads until it has been closed there.
GraftOutcome Graft::adopt(std::size_t count) {
    for (std::size_t at = 0; at < count && !listener_; ++at) {
        const int number = threads[at].ended ? none_there : find_listener(request_.pid, threads[at].tid);
        if (number >= 0) {
            job_.thread = threads[at].tid;
            fetch(threads[at].tid, number);
        }
    }
    job_.installed = Job::Installed::yes;
    return listener_ ? GraftOutcome::enforced : GraftOutcome::no_listener;
}

GraftOutcome Graft::settle() {
    if (!listener_ && adopt(read_threads(request_.pid, threads)) != GraftOutcome::enforced) {
        return GraftOutcome::no_listener;
    }
    while (handover_error_ != 0 && steady_clock::now() < until_) {
        pause_until(std::min<Moment>(until_, steady_clock::now() + longest_pause));
        handover_error_ = hand_over(listener_, request_.listener_key, until_);
    }
    if (handover_error_ != 0) {
        answer_.error = handover_error_;
        return GraftOutcome::not_handed_over;
    }
    GraftOutcome outcome = close_copies(request_.pid);
    pid_t descendants[most_relatives];
    const std::size_t count = read_descendants(request_.pid, descendants);
    for (std::size_t at = 0; at < count; ++at) {
        if (close_copies(descendants[at]) == GraftOutcome::copy_left) {
            outcome = GraftOutcome::copy_left;
        }
    }
    return outcome;
}

int Graft::find_copy(pid_t process, pid_t thread) {
    int number = find_listener(process, thread);
    while (number >= 0 && compare(thread, number, listener_) == Copy::no) {
        number = find_listener(process, thread, number + 1);
    }
    return number;
}

// In the table of the thread that was borrowed, and in that of the leader, which may be another or have
// ended.
int Graft::find_copy(pid_t process) {
    const int number = find_copy(process, process);
    return number >= 0 || process != request_.pid || job_.thread == 0 ? number
                                                                      : find_copy(process, job_.thread);
}

GraftOutcome Graft::close_copies(pid_t process) {
    int number = find_copy(process);
    for (int closed = 0; number >= 0 && closed < 4; ++closed) {
        const GraftOutcome outcome = close_copy(process, number);
        number = find_copy(process);  // an execve may have closed it
        if (outcome != GraftOutcome::enforced) {
            break;
        }
    }
    return number >= 0 ? GraftOutcome::copy_left : GraftOutcome::enforced;
}

GraftOutcome Graft::close_copy(pid_t process, int number) {
    Job job = job_;
    job.process = process;
    job.filter = nullptr;
    job.mapping = process == request_.pid ? job_.mapping : no_mapping;
    job.close = number;
    auto pause = pause_between;
    for (unsigned round = 0; steady_clock::now() < until_ && job.close >= 0; ++round) {
        const std::size_t count = read_threads(process, threads);
        for (std::size_t at = 0; at < count; ++at) {
            threads[at].filter = FilterMode::none;  // it has one, and this errand sets none
            threads[at].promise = Promise::none;
            threads[at].capable = true;
            // In another table the number is another file's.
            threads[at].ended = threads[at].ended || compare(threads[at].tid, number, listener_) == Copy::no;
        }
        if (count == 0) {
            return GraftOutcome::enforced;  // gone, and its descriptors with it
        }
        GraftOutcome outcome = GraftOutcome::copy_left;
        const Rank worst = worst_of_round[std::min(round, rounds_until_worst)];
        if (try_threads(job, worst, count, outcome) == Round::over) {
            break;
        }
        if (job.close >= 0) {
            pause_until(std::min<Moment>(until_, steady_clock::now() + pause));
            pause = std::min<std::chrono::milliseconds>(2 * pause, longest_pause);
        }
    }
    job_.attempts = job.attempts;
    job_.stopped = std::max(job_.stopped, job.stopped);
    return job.close < 0 ? GraftOutcome::enforced : GraftOutcome::copy_left;
}

}  // namespace

wire::GraftAnswer graft(const wire::GraftRequest& request) {
    return Graft(request).run();
}

}  // namespace gpcsup::exec
