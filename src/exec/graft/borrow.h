#pragma once
// One errand on one borrowed thread: stop it, look whether it is fit after all, let it run the trampoline
// from call to call, put its registers back as they were, let it go. What a signal cuts short is taken up
// again by the next borrowed thread.

#include <sys/types.h>

#include "exec/graft/process.h"
#include "exec/graft/tracing.h"
#include "exec/graft/trampoline.h"

#include <linux/filter.h>

namespace gpcsup::exec {

struct Job {  // of a process; how far it has come
    pid_t process = 0;
    const sock_filter* filter = nullptr;  // null: nothing is to be set
    std::uint32_t filter_count = 0;
    std::uint32_t flags = 0;

    enum class Begun { no, yes } begun = Begun::no;  // a thread was sent on the errand
    enum class Installed { no, yes } installed = Installed::no;
    int error = 0;                           // why the kernel did not set it
    std::uint64_t mapping = no_mapping;      // left by an attempt that was cut short
    int close = -1;                          // the listener's number in the process
    pid_t thread = 0;                        // that was borrowed last
    std::chrono::milliseconds patience{50};  // for a stop; more after each that came too late: a busy machine
    std::uint32_t attempts = 0;
    std::chrono::nanoseconds stopped{0};  // the longest

    // Called while the thread that has set the filter stands still; fetches the listener, and hands it over.
    void (*on_installed)(Job& job, pid_t thread, int number) = nullptr;
    // Called while a thread that may have set it stands at its end, with all its descriptors.
    void (*on_exiting)(Job& job, pid_t thread) = nullptr;
    void* owner = nullptr;
};

enum class Loan {
    done,
    unfit,      // left as it was
    cut_short,  // by a signal, by its end, or by time: how far it came is in the job
    no_room,
    denied,  // ptrace says so; errno
};

Loan borrow(const Thread& thread, Rank worst, Job& job, Moment until);

}  // namespace gpcsup::exec
