#include "exec/graft/borrow.h"

#include <algorithm>
#include <cerrno>
#include <cstring>

#include <unistd.h>

namespace gpcsup::exec {
namespace {

using std::chrono::steady_clock;

constexpr std::chrono::milliseconds most_patience{1000};  // a thread in state D is left to its disk
constexpr std::uint32_t page = 4096;

class Errands {
  public:
    Errands(const Thread& thread, Job& job, Moment until)
        : thread_(thread), job_(job), until_(until), errand_(errand_of(job)) {}

    Loan run(Rank worst);

  private:
    enum class Step { reached, aborted, lost };
    static Errand errand_of(const Job& job);
    [[nodiscard]] bool is_fit(Rank worst);
    [[nodiscard]] bool may_still_set(const ThreadStatus& status) const;
    [[nodiscard]] bool has_pending() const;
    bool write(const Trampoline& code);
    void clean(const Trampoline& code);
    Loan give_back(Loan loan);
    Loan go(const Trampoline& code);
    Step next_call();
    Step make_call(const Trampoline& code, long number);
    void behind_call(const Trampoline& code, long number, std::int64_t result);
    void fill_in(const Trampoline& code);
    void put_back(const Trampoline& code, int signal);
    Loan finish(const Trampoline& code);
    [[nodiscard]] Moment soon() const {
        return std::min<Moment>(until_, steady_clock::now() + job_.patience);
    }
    [[nodiscard]] pid_t tid() const { return thread_.tid; }

    const Thread thread_;
    Job& job_;
    Moment until_;
    Moment stopped_at_;
    Errand errand_;
    std::uint64_t room_ = 0;
    int signal_ = 0;  // that was about to be delivered
    user_regs_struct original_{};
};

Errand Errands::errand_of(const Job& job) {
    Errand errand;
    const bool sets = job.filter != nullptr && job.installed == Job::Installed::no;
    errand.filter = sets ? Errand::Filter::set : Errand::Filter::none;
    errand.mapping = job.mapping;
    const auto bytes = static_cast<std::uint32_t>(job.filter_count * sizeof(sock_filter));
    errand.mapping_size = bytes == 0 ? page : (bytes + page - 1) / page * page;
    errand.flags = job.flags;
    errand.close = job.close;
    return errand;
}

// With its real registers, and with what /proc says of it now that it stands still.
bool Errands::is_fit(Rank worst) {
    if (!read_registers(tid(), original_)) {
        return false;
    }
    const Stopped stopped = stopped_of(original_);
    const ThreadStatus status = read_status(job_.process, tid());
    const bool sets = errand_.filter == Errand::Filter::set;
    if (status.read == ThreadStatus::Read::no || (sets && !may_still_set(status))) {
        return false;
    }
    return rank_of(stopped) <= worst && status.pending == 0 &&
           (stopped.call >= 0 || sequence_of(tid(), original_.rip) == Sequence::outside);
}

// What was true of it when it was chosen; it can change itself no more.
bool Errands::may_still_set(const ThreadStatus& status) const {
    const Promise promise = status.no_new_privs == 0 ? Promise::none : Promise::made;
    return status.seccomp == 0 && promise == thread_.promise &&
           (promise == Promise::made || is_capable(status));
}

bool Errands::has_pending() const {
    return read_status(job_.process, tid()).pending != 0;
}

bool Errands::write(const Trampoline& code) {
    for (std::size_t at = 0; at < code.size(); at += 8) {
        std::uint64_t there = 0;
        if (!peek(tid(), room_ + at, there) || there != 0) {
            return false;
        }
    }
    for (std::size_t at = 0; at < code.size(); at += 8) {
        std::uint64_t word = 0;
        std::memcpy(&word, code.bytes() + at, sizeof(word));
        if (!poke(tid(), room_ + at, word)) {
            clean(code);
            return false;
        }
    }
    return true;
}

// No thread is in there any more.
void Errands::clean(const Trampoline& code) {
    for (std::size_t at = 0; at < code.size(); at += 8) {
        poke(tid(), room_ + at, 0);
    }
}

// It stands still where it was interrupted, and has run nothing of ours.
Loan Errands::give_back(Loan loan) {
    const std::int64_t result = mended(stopped_of(original_));
    if (result != static_cast<std::int64_t>(original_.rax)) {
        original_.rax = static_cast<std::uint64_t>(result);
        write_registers(tid(), original_);
    }
    release(tid(), 0);
    return loan;
}

Loan Errands::run(Rank worst) {
    room_ = find_room_in(job_.process, tid()).address;
    if (room_ == 0) {
        return Loan::no_room;
    }
    if (const int error = seize(tid()); error != 0 && thread_.tracer != getpid()) {
        errno = error;
        return error == ESRCH ? Loan::unfit : Loan::denied;
    }
    interrupt(tid());
    const Stopping first = wait_for(tid(), soon());
    stopped_at_ = steady_clock::now();
    ++job_.attempts;
    if (first.stop == Stop::late) {
        job_.patience = std::min(2 * job_.patience, most_patience);
    }
    if (first.stop == Stop::late || first.stop == Stop::ended) {
        return Loan::unfit;
    }
    if (first.stop != Stop::interrupted) {
        release(tid(), first.signal);
        return Loan::unfit;
    }
    if (!is_fit(worst)) {
        return give_back(Loan::unfit);
    }
    const Resumption on = resumption(stopped_of(original_));
    const Trampoline code(errand_, {static_cast<std::uint64_t>(on.rax), original_.rdi, original_.rsi,
                                    original_.rdx, original_.r10, original_.r8, original_.r9, original_.rcx,
                                    original_.r11, original_.rip - static_cast<std::uint64_t>(on.back)});
    if (!write(code)) {
        return give_back(Loan::no_room);
    }
    user_regs_struct sent = original_;
    sent.rip = room_;
    sent.orig_rax = ~std::uint64_t{0};  // no call is to be made again before it comes back
    if (!write_registers(tid(), sent)) {
        clean(code);
        return give_back(Loan::unfit);
    }
    // A signal that came meanwhile ends the call that the thread was in, and not one of ours: with its own
    // registers the kernel does that as ever.
    if (has_pending()) {
        write_registers(tid(), original_);
        clean(code);
        return give_back(Loan::unfit);
    }
    job_.begun = Job::Begun::yes;
    job_.thread = tid();
    return go(code);
}

Loan Errands::go(const Trampoline& code) {
    const long calls[] = {errand_.maps() ? long{SYS_mmap} : no_call,
                          errand_.filter == Errand::Filter::set ? long{SYS_seccomp} : no_call, SYS_close,
                          SYS_munmap};
    if (!errand_.maps()) {
        fill_in(code);
    }
    for (const long number : calls) {
        if (number == no_call) {
            continue;
        }
        if (make_call(code, number) != Step::reached) {
            return Loan::cut_short;
        }
    }
    return finish(code);
}

// A stop of its process is not ours to obey: it is stopped again as it is released.
Errands::Step Errands::next_call() {
    while (steady_clock::now() < until_) {
        run_to_call(tid());  // fails only for one that has been killed as it stood: its end is told of
        const Stopping stopping = wait_for(tid(), until_);
        switch (stopping.stop) {
            case Stop::call:
                return Step::reached;
            case Stop::interrupted:
                break;
            case Stop::signal:
                // With its own registers the signal ends, or does not end, the call in which the thread was.
                signal_ = stopping.signal;
                return Step::aborted;
            case Stop::exiting:
                if (errand_.filter == Errand::Filter::set && job_.installed == Job::Installed::no) {
                    job_.on_exiting(job_, tid());
                }
                release(tid(), 0);
                return Step::lost;
            case Stop::ended:
            case Stop::late:
                return Step::lost;
        }
    }
    return Step::lost;
}

Errands::Step Errands::make_call(const Trampoline& code, long number) {
    enum class Side { before, behind };
    for (const Side side : {Side::before, Side::behind}) {
        const Step step = next_call();
        if (step == Step::aborted) {
            put_back(code, signal_);
        }
        if (step != Step::reached) {
            return step;
        }
        user_regs_struct registers{};
        if (!read_registers(tid(), registers)) {
            next_call();  // which is its end
            return Step::lost;
        }
        if (static_cast<long>(registers.orig_rax) != number) {
            release(tid(), 0);
            return Step::lost;  // not where we have sent it: it finds back by itself, or was never sent
        }
        if (side == Side::behind) {
            behind_call(code, number, static_cast<std::int64_t>(registers.rax));
        }
    }
    return Step::reached;
}

void Errands::behind_call(const Trampoline& code, long number, std::int64_t result) {
    constexpr std::int64_t least_error = -4095;
    const bool failed = result < 0 && result >= least_error;
    if (number == SYS_mmap) {
        job_.mapping = failed ? no_mapping : static_cast<std::uint64_t>(result);
        job_.error = failed ? static_cast<int>(-result) : 0;
        fill_in(code);
    } else if (number == SYS_seccomp && failed) {
        job_.error = job_.mapping == no_mapping ? job_.error : static_cast<int>(-result);
    } else if (number == SYS_seccomp) {
        job_.installed = Job::Installed::yes;
        job_.error = 0;
        job_.on_installed(job_, tid(), static_cast<int>(result));
        poke(tid(), room_ + code.descriptor(), Trampoline::descriptor_word(job_.close));
    } else if (number == SYS_close) {
        job_.close = -1;
    } else if (number == SYS_munmap) {
        job_.mapping = no_mapping;
    }
}

// Last its length: until then there is no program.
void Errands::fill_in(const Trampoline& code) {
    if (errand_.filter == Errand::Filter::none || job_.mapping == no_mapping) {
        return;
    }
    for (std::uint32_t at = 0; at < job_.filter_count; ++at) {
        static_assert(sizeof(sock_filter) == 8);
        std::uint64_t word = 0;
        std::memcpy(&word, job_.filter + at, sizeof(word));
        if (!poke(tid(), job_.mapping + at * sizeof(word), word)) {
            return;
        }
    }
    if (poke(tid(), room_ + code.program_address(), job_.mapping)) {
        poke(tid(), room_ + code.program_length(), job_.filter_count);
    }
}

void Errands::put_back(const Trampoline& code, int signal) {
    user_regs_struct back = original_;
    back.rax = static_cast<std::uint64_t>(mended(stopped_of(original_)));
    if (write_registers(tid(), back)) {
        clean(code);
    }
    release(tid(), signal);
    job_.stopped = std::max<std::chrono::nanoseconds>(job_.stopped, steady_clock::now() - stopped_at_);
}

// The kernel looks at what a call has said where threads stop to be interrupted, and only there: so it is
// interrupted once more, and has its own registers as if that had been the first time.
Loan Errands::finish(const Trampoline& code) {
    interrupt(tid());
    if (!go_on(tid())) {
        return Loan::cut_short;
    }
    const Stopping last = wait_for(tid(), steady_clock::now() + most_patience);
    if (last.stop == Stop::interrupted || last.stop == Stop::signal) {
        put_back(code, last.signal);
    } else if (last.stop == Stop::exiting) {
        release(tid(), 0);
    }
    return Loan::done;
}

}  // namespace

Loan borrow(const Thread& thread, Rank worst, Job& job, Moment until) {
    return Errands(thread, job, until).run(worst);
}

}  // namespace gpcsup::exec
