#include "sys/affinity.h"

#include <sched.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <set>
#include <string>

namespace gpcsup::sys {
namespace {

constexpr std::size_t words_at_first = 16;  // 1,024 CPUs
constexpr std::size_t words_at_most = 128;  // 8,192: the kernel's own limit
// A process that starts a thread between any two passes for ever cannot be caught by passes; this many prove
// ill will.
constexpr int passes_at_most = 64;

// /proc/PID/task has a link for each thread beside its own two: cheaper to ask than any list. A kernel that
// counts otherwise only makes the list be read.
bool has_one_thread(pid_t pid) {
    char path[32];
    (void)std::snprintf(path, sizeof path, "/proc/%d/task", pid);
    struct stat status {};
    return ::stat(path, &status) == 0 && status.st_nlink == 3;
}

std::string describe(pid_t thread) {
    return "thread " + std::to_string(thread);
}

}  // namespace

base::Result<> RealAffinity::set_thread(pid_t thread, const base::CpuList& cpus) {
    const auto& words = cpus.words();
    if (::syscall(SYS_sched_setaffinity, thread, words.size() * sizeof(std::uint64_t), words.data()) != 0) {
        return base::fail(errno, "set the CPUs of", describe(thread));
    }
    return {};
}

base::Result<base::CpuList> RealAffinity::get(pid_t thread) {
    for (std::size_t size = words_at_first; size <= words_at_most; size *= 2) {
        std::vector<std::uint64_t> words(size);
        const long bytes =
            ::syscall(SYS_sched_getaffinity, thread, size * sizeof(std::uint64_t), words.data());
        if (bytes >= 0) {
            return base::CpuList::from_words(std::move(words));
        }
        if (errno != EINVAL) {  // EINVAL: the kernel has more CPUs than we gave it room for
            return base::fail(errno, "read the CPUs of", describe(thread));
        }
    }
    return base::fail(EINVAL, "read the CPUs of", describe(thread));
}

bool RealAffinity::is_there(const base::ThreadId& thread) {
    const auto stat = files_.stat(thread.tid);
    return stat && stat->start_time == thread.start_time;
}

base::Result<> RealAffinity::set(const base::ThreadId& thread, const base::CpuList& cpus) {
    return is_there(thread) ? set_thread(thread.tid, cpus)
                            : base::fail(ESRCH, "set the CPUs of", describe(thread.tid));
}

base::Result<base::CpuList> RealAffinity::get(const base::ThreadId& thread) {
    if (!is_there(thread)) {
        return base::fail(ESRCH, "read the CPUs of", describe(thread.tid));
    }
    return get(thread.tid);
}

base::Result<> RealAffinity::set_process(base::ProcessId process, const base::CpuList& cpus, Threads except) {
    return for_process(process, except, [&](pid_t thread) { return set_thread(thread, cpus); });
}

base::Result<> RealAffinity::adapt_process(base::ProcessId process, const base::CpuList& before,
                                           const base::CpuList& cpus, Threads except) {
    return for_process(process, except, [&](pid_t thread) -> base::Result<> {
        const auto has = get(thread);
        if (!has) {
            return std::unexpected(has.error());
        }
        return has->is_subset_of(cpus) && *has != before ? base::Result<>() : set_thread(thread, cpus);
    });
}

base::Result<> RealAffinity::settle_process(base::ProcessId process, const Choose& choose, Threads except) {
    return for_process(process, except, [&](pid_t tid) -> base::Result<> {
        auto thread = identify_thread(files_, tid);
        if (!thread) {
            return base::pass(thread);
        }
        auto has = whole(tid);
        if (!has) {
            return base::pass(has);
        }
        const auto chosen = choose(*thread, *has);
        return chosen ? set_thread(tid, *chosen) : base::Result<>();
    });
}

base::Result<base::CpuList> RealAffinity::whole(pid_t thread) {
    auto status = files_.status(thread);
    if (!status) {
        return base::pass(status);
    }
    auto cpus = cpus_allowed(*status);
    return cpus ? base::Result<base::CpuList>(std::move(*cpus))
                : get(thread);  // cut off: thousands of groups
}

base::Result<base::CpuList> RealAffinity::whole(const base::ThreadId& thread) {
    if (!is_there(thread)) {
        return base::fail(ESRCH, "read the CPUs of", describe(thread.tid));
    }
    return whole(thread.tid);
}

base::Result<> RealAffinity::for_process(base::ProcessId process, Threads except, const ForThread& change) {
    const ForThread others = [&](pid_t thread) {
        const bool named = std::ranges::any_of(except, [&](const base::ThreadId& each) {
            return each.tid == thread && is_there(each);  // its number may be another's by now
        });
        return named ? base::Result<>() : change(thread);
    };
    const ForThread& for_each = except.empty() ? change : others;
    const auto single = for_single(process, for_each);
    if (!single) {
        return std::unexpected(single.error());
    }
    return *single == Single::done ? base::Result<>() : for_threads(process, for_each);
}

// With one thread there is no list to read: its leader is counted until the whole process has gone, so a
// process that has one thread afterwards has had no other since.
base::Result<RealAffinity::Single> RealAffinity::for_single(base::ProcessId process,
                                                            const ForThread& change) {
    const auto before = files_.stat(process.pid);
    if (!before || before->start_time != process.start_time) {
        return base::fail(ESRCH, "set the CPUs of", "process " + std::to_string(process.pid));
    }
    if (before->threads != 1) {
        return Single::has_more;
    }
    if (auto changed = change(process.pid); !changed) {
        return base::pass(changed);
    }
    return has_one_thread(process.pid) ? Single::done : Single::has_more;
}

base::Result<> RealAffinity::for_threads(base::ProcessId process, const ForThread& change) {
    // A thread inherits the mask of the one that made it, so a pass that meets only threads already looked at
    // has met them all: whoever could have made one that is not right is right, and was before that pass
    // began. (A thread that is left out makes wrong ones for ever: those are corrected as they are told of.)
    std::set<pid_t> done;
    for (int pass = 0; pass < passes_at_most; ++pass) {
        auto threads = files_.tasks(process.pid);
        if (!threads) {
            return base::pass(threads);
        }
        bool found_new = false;
        for (const pid_t thread : *threads) {
            if (!done.insert(thread).second) {
                continue;
            }
            found_new = true;
            if (auto changed = change(thread); !changed && changed.error().code != ESRCH) {
                return changed;
            }
        }
        if (!found_new) {
            return {};
        }
    }
    return base::fail(EAGAIN, "set the CPUs of", "process " + std::to_string(process.pid),
                      "it starts threads faster than they can be bound");
}

}  // namespace gpcsup::sys
