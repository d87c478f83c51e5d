#include "sys/limits.h"

#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <string>

namespace gpcsup::sys {
namespace {

std::string describe(base::ProcessId process) {
    return "process " + std::to_string(process.pid);
}

}  // namespace

base::Result<ResourceLimit> get_limit(base::ProcessId process, int resource) {
    rlimit64 found{};
    if (::syscall(SYS_prlimit64, process.pid, resource, nullptr, &found) != 0) {
        return base::fail(errno, "read the limits of", describe(process));
    }
    return ResourceLimit{found.rlim_cur, found.rlim_max};
}

// The kernel takes a number and no descriptor: the look just before is as near as one comes.
base::Result<> set_limit(ProcFiles& files, base::ProcessId process, int resource,
                         const ResourceLimit& limit) {
    const auto started = start_time(files, process.pid);
    if (!started || *started != process.start_time) {
        return base::fail(ESRCH, "set the limits of", describe(process));
    }
    const rlimit64 wanted{limit.soft, limit.hard};
    if (::syscall(SYS_prlimit64, process.pid, resource, &wanted, nullptr) != 0) {
        return base::fail(errno, "set the limits of", describe(process));
    }
    return {};
}

ResourceLimit own_limit(int resource) {
    return get_limit({::getpid(), 0}, resource).value_or(ResourceLimit{});
}

}  // namespace gpcsup::sys
