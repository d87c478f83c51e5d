#include "exec/streams.h"

#include <cerrno>
#include <initializer_list>

#include <fcntl.h>
#include <linux/close_range.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "exec/memory.h"

namespace gpcsup::exec {
namespace {

// Puts a duplicate above every number that the service will get, so that no dup2 below can hit a source still
// needed.
int move_above(int descriptor, int floor) {
    return fcntl(descriptor, F_DUPFD_CLOEXEC, floor);
}

int open_null(int floor) {
    const int opened = open("/dev/null", O_RDWR | O_CLOEXEC | O_NOCTTY);
    if (opened < 0 || opened >= floor) {
        return opened;
    }
    const int moved = move_above(opened, floor);
    close(opened);
    return moved;
}

int mark_others(int floor) {
    if (syscall(SYS_close_range, floor, ~0U, CLOSE_RANGE_CLOEXEC) == 0) {
        return 0;
    }
    // Before Linux 5.11: one by one. What lies above this number can only have been inherited on purpose.
    rlimit limit{};
    getrlimit(RLIMIT_NOFILE, &limit);
    const rlim_t end = limit.rlim_cur < 65536 ? limit.rlim_cur : 65536;
    for (rlim_t number = static_cast<rlim_t>(floor); number < end; ++number) {
        fcntl(static_cast<int>(number), F_SETFD, FD_CLOEXEC);
    }
    return 0;
}

}  // namespace

int arrange_descriptors(const Plan& plan, Descriptors& own) {
    const wire::LaunchPlan& header = plan.header();
    const auto* passed = plan.array<std::int32_t>(header.passed_fds);
    const int passed_count = static_cast<int>(header.passed_fds.count);
    const int floor = 3 + passed_count;
    auto* sources = allocate<int>(static_cast<std::size_t>(floor));
    if (sources == nullptr) {
        return errno;
    }
    const std::int32_t streams[] = {header.stdin_fd, header.stdout_fd, header.stderr_fd};
    for (int target = 0; target < floor; ++target) {
        const int given = target < 3 ? streams[target] : passed[target - 3];
        sources[target] = given < 0 && target < 3 ? open_null(floor) : move_above(given, floor);
        if (sources[target] < 0) {
            return errno;
        }
    }
    const struct {
        int from;
        int& to;
    } moves[] = {
        {header.slots_fd, own.slots}, {header.status_fd, own.status}, {header.handover_fd, own.handover}};
    for (const auto& move : moves) {
        if (move.from < 0) {
            continue;
        }
        move.to = move_above(move.from, floor);
        if (move.to < 0) {
            return errno;
        }
    }
    for (int target = 0; target < floor; ++target) {
        if (dup2(sources[target], target) < 0) {
            return errno;
        }
    }
    return mark_others(floor);
}

int enter_session(const Plan& plan) {
    if (!plan.has(wire::plan_keep_session) && setsid() < 0) {
        return errno;
    }
    if (plan.has(wire::plan_terminal) && ioctl(STDIN_FILENO, TIOCSCTTY, 0) != 0) {
        return errno;
    }
    return 0;
}

}  // namespace gpcsup::exec
