#include "launch/spawn.h"

#include <array>
#include <cerrno>
#include <charconv>
#include <csignal>

#include <fcntl.h>
#include <linux/close_range.h>
#include <linux/sched.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef __x86_64__
#error "the child's first steps are written for x86-64"
#endif

namespace gpcsup::launch {
namespace {

constexpr std::size_t child_stack_size = 16384;
alignas(64)
    std::array<std::byte, child_stack_size> child_stack;  // one start at a time: the parent sleeps meanwhile

struct ChildWork {
    const int* descriptors;
    int count;
    int first;  // where they go; -1 = they are inherited as they are
    const char* program;
    char* const* arguments;
    char* const* environment;
    wire::StartSlot* slot;
};

#define GPCSUP_CHILD __attribute__((no_sanitize("address", "undefined")))

[[noreturn, gnu::noinline]] GPCSUP_CHILD void give_up(ChildWork* work, wire::ExecStep step, int error) {
    work->slot->error.store(error, std::memory_order_relaxed);
    work->slot->step.store(static_cast<std::uint32_t>(step), std::memory_order_release);
    for (;;) {
        syscall(SYS_exit, wire::exec_failed_status);
    }
}

// Until here the descriptor table is the parent's: what goes into the lane, it sees and takes out again.
GPCSUP_CHILD void take_own_table(ChildWork* work) {
    for (int i = 0; i < work->count && work->first >= 0; ++i) {
        if (syscall(SYS_dup3, work->descriptors[i], work->first + i, O_CLOEXEC) < 0) {
            give_up(work, wire::ExecStep::streams, errno);
        }
    }
    const bool cut = work->first >= 0 &&
                     syscall(SYS_close_range, work->first + work->count, ~0U, CLOSE_RANGE_UNSHARE) == 0;
    if (!cut && syscall(SYS_unshare, CLONE_FILES) != 0) {  // before Linux 5.9: a copy of the whole table
        give_up(work, wire::ExecStep::plan, errno);
    }
}

// Runs in the parent's memory on a stack of its own, with every signal blocked. Raw system calls only: what a
// library or a sanitizer would note down here, it would note down in the parent.
[[gnu::noinline]] GPCSUP_CHILD void run_child(ChildWork* work) {
    take_own_table(work);
    for (int i = 0; i < work->count; ++i) {
        syscall(SYS_fcntl, work->first < 0 ? work->descriptors[i] : work->first + i, F_SETFD, 0);
    }
    syscall(SYS_execve, work->program, work->arguments, work->environment);
    give_up(work, wire::ExecStep::plan, errno);
}

// A new stack cannot be returned on through syscall(2)'s own frame, so the call and the child's first jump
// are one piece.
GPCSUP_CHILD long clone_child(clone_args& arguments, ChildWork& work) {
    long result = SYS_clone3;
    auto* function = &run_child;
    auto* parameter = &work;
    register void* kept_function asm("r12") = reinterpret_cast<void*>(function);
    register void* kept_parameter asm("r13") = parameter;
    asm volatile(
        "syscall\n\t"
        "testq %%rax, %%rax\n\t"
        "jnz 1f\n\t"
        "xorl %%ebp, %%ebp\n\t"
        "movq %[parameter], %%rdi\n\t"
        "callq *%[function]\n\t"
        "hlt\n"
        "1:"
        : "+a"(result)
        : "D"(&arguments),
          "S"(sizeof(arguments)), [function] "r"(kept_function), [parameter] "r"(kept_parameter)
        : "rcx", "r11", "memory", "cc");
    return result;
}

class BlockedSignals {
  public:
    BlockedSignals() {
        sigset_t all;
        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, &previous_);
    }
    ~BlockedSignals() { pthread_sigmask(SIG_SETMASK, &previous_, nullptr); }
    BlockedSignals(const BlockedSignals&) = delete;
    BlockedSignals& operator=(const BlockedSignals&) = delete;

  private:
    sigset_t previous_{};
};

}  // namespace

base::Result<Spawned> spawn(const SpawnRequest& request) {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0) {
        return base::fail(errno, "make the status pipe of", request.launch.executable);
    }
    Spawned spawned;
    spawned.status.reset(ends[0]);
    const base::Fd status_writer(ends[1]);
    LaunchTicket ticket{request.slot.value, request.slots.descriptor(), status_writer.get(), -1};
    std::vector<int> descriptors = inherited(request.launch, ticket);
    const bool fits =
        request.lane != nullptr && descriptors.size() < DescriptorLane::width;  // the plan is last
    ticket.first_number = fits ? request.lane->first() : -1;
    auto blob = serialise(request.launch, ticket);
    if (!blob) {
        return base::pass(blob);
    }
    auto plan = seal(*blob);
    if (!plan) {
        return base::pass(plan);
    }
    descriptors.push_back(plan->get());
    const int count = static_cast<int>(descriptors.size());

    char number[16] = {};
    std::to_chars(number, number + sizeof(number) - 1, fits ? ticket.first_number + count - 1 : plan->get());
    char name[] = "gpc-exec";
    char* const arguments[] = {name, number, nullptr};
    char* const environment[] = {nullptr};
    wire::StartSlot& slot = request.slots.slot(request.slot);
    ChildWork work{descriptors.data(), count, ticket.first_number, request.exec_program.c_str(), arguments,
                   environment,        &slot};

    int pidfd = -1;
    clone_args clone{};
    clone.flags = CLONE_VM | CLONE_FILES | CLONE_VFORK | CLONE_PARENT | CLONE_PIDFD | CLONE_PARENT_SETTID;
    clone.pidfd = reinterpret_cast<std::uint64_t>(&pidfd);
    clone.parent_tid = reinterpret_cast<std::uint64_t>(&slot.pid);
    clone.stack = reinterpret_cast<std::uint64_t>(child_stack.data());
    clone.stack_size = child_stack.size();
    long result = 0;
    {
        const BlockedSignals blocked;
        result = clone_child(clone, work);
    }
    if (fits) {
        request.lane->clear(count);
    }
    if (result < 0) {
        return base::fail(static_cast<int>(-result), "start", request.launch.executable);
    }
    spawned.pid = static_cast<pid_t>(result);
    spawned.pidfd.reset(pidfd);
    return spawned;
}

}  // namespace gpcsup::launch
