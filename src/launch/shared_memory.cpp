#include "launch/shared_memory.h"

#include <cerrno>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

namespace gpcsup::launch {

base::Result<base::Fd> make_memory(const char* name, std::size_t size) {
    base::Fd memfd(memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING));
    if (!memfd) {
        return base::fail(errno, "create the shared memory", name);
    }
    if (ftruncate(memfd.get(), static_cast<off_t>(size)) != 0 ||
        fcntl(memfd.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW) != 0) {
        return base::fail(errno, "size the shared memory", name);
    }
    return memfd;
}

base::Result<void*> map_memory(const base::Fd& memfd, std::size_t size, std::string_view what) {
    struct stat status {};
    if (fstat(memfd.get(), &status) != 0) {
        return base::fail(errno, "examine", what);
    }
    if (static_cast<std::size_t>(status.st_size) < size) {
        return base::fail(EPROTO, "map", what);
    }
    void* memory = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, memfd.get(), 0);
    if (memory == MAP_FAILED) {
        return base::fail(errno, "map", what);
    }
    return memory;
}

}  // namespace gpcsup::launch
