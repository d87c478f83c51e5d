#include "launch/spawn.h"

#include <array>
#include <cerrno>
#include <charconv>
#include <csignal>

#include <fcntl.h>
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
    std::size_t count;
    const char* program;
    char* const* arguments;
    char* const* environment;
    wire::StartSlot* slot;
};

// Runs in the parent's memory on a stack of its own, with every signal blocked. Raw system calls only: what a
// library or a sanitizer would note down here, it would note down in the parent.
[[gnu::noinline]] __attribute__((no_sanitize("address", "undefined"))) void run_child(ChildWork* work) {
    for (std::size_t i = 0; i < work->count; ++i) {
        syscall(SYS_fcntl, work->descriptors[i], F_SETFD, 0);
    }
    syscall(SYS_execve, work->program, work->arguments, work->environment);
    work->slot->error.store(errno, std::memory_order_relaxed);
    work->slot->step.store(static_cast<std::uint32_t>(wire::ExecStep::plan), std::memory_order_release);
    for (;;) {
        syscall(SYS_exit, wire::exec_failed_status);
    }
}

// A new stack cannot be returned on through syscall(2)'s own frame, so the call and the child's first jump
// are one piece.
__attribute__((no_sanitize("address", "undefined"))) long clone_child(clone_args& arguments,
                                                                      ChildWork& work) {
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
    const LaunchTicket ticket{request.slot.value, request.slots.descriptor(), status_writer.get()};
    auto blob = serialise(request.launch, ticket);
    if (!blob) {
        return base::pass(blob);
    }
    auto plan = seal(*blob);
    if (!plan) {
        return base::pass(plan);
    }
    std::vector<int> descriptors = inherited(request.launch, ticket);
    descriptors.push_back(plan->get());

    char number[16] = {};
    std::to_chars(number, number + sizeof(number) - 1, plan->get());
    char name[] = "gpc-exec";
    char* const arguments[] = {name, number, nullptr};
    char* const environment[] = {nullptr};
    wire::StartSlot& slot = request.slots.slot(request.slot);
    ChildWork work{descriptors.data(), descriptors.size(), request.exec_program.c_str(),
                   arguments,          environment,        &slot};

    int pidfd = -1;
    clone_args clone{};
    clone.flags = CLONE_VM | CLONE_VFORK | CLONE_PARENT | CLONE_PIDFD | CLONE_PARENT_SETTID;
    clone.pidfd = reinterpret_cast<std::uint64_t>(&pidfd);
    clone.parent_tid = reinterpret_cast<std::uint64_t>(&slot.pid);
    clone.stack = reinterpret_cast<std::uint64_t>(child_stack.data());
    clone.stack_size = child_stack.size();
    long result = 0;
    {
        const BlockedSignals blocked;
        result = clone_child(clone, work);
    }
    if (result < 0) {
        return base::fail(static_cast<int>(-result), "start", request.launch.executable);
    }
    spawned.pid = static_cast<pid_t>(result);
    spawned.pidfd.reset(pidfd);
    return spawned;
}

}  // namespace gpcsup::launch
