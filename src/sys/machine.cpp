#include "sys/machine.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <string>

#include "base/fd.h"

namespace gpcsup::sys {
namespace {

base::Result<base::CpuList> read_list(const char* path) {
    const base::Fd file(::open(path, O_RDONLY | O_CLOEXEC));
    if (!file) {
        return base::fail(errno, "open", path);
    }
    char text[4096];
    const ssize_t count = ::read(file.get(), text, sizeof text);
    if (count < 0) {
        return base::fail(errno, "read", path);
    }
    return base::parse_cpu_list(std::string_view(text, static_cast<std::size_t>(count)));
}

}  // namespace

base::Result<base::CpuList> RealMachine::online_cpus() {
    auto listed = read_list("/sys/devices/system/cpu/online");
    if (listed) {
        return listed;
    }
    // No sysfs (a bare container): the C library asks the kernel in other ways. Its answer has no holes.
    const long count = ::sysconf(_SC_NPROCESSORS_ONLN);
    if (count <= 0) {
        return listed;
    }
    return base::CpuList::up_to(static_cast<unsigned>(count));
}

base::Result<base::CpuList> RealMachine::online_nodes() {
    auto listed = read_list("/sys/devices/system/node/has_memory");
    if (!listed && listed.error().code == ENOENT) {
        return base::CpuList::up_to(1);
    }
    return listed;
}

}  // namespace gpcsup::sys
