#include "sys/memory.h"

#include <link.h>
#include <malloc.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>

namespace gpcsup::sys {

namespace {

// Segments that nobody may write are as the file has them: the dynamic linker writes its relocations into
// writable ones only (those it protects afterwards are still of a writable segment here).
int drop_pages(dl_phdr_info* object, std::size_t, void*) {
    const auto page = static_cast<std::uintptr_t>(sysconf(_SC_PAGESIZE));
    for (int index = 0; index < object->dlpi_phnum; ++index) {
        const ElfW(Phdr)& segment = object->dlpi_phdr[index];
        if (segment.p_type != PT_LOAD || (segment.p_flags & PF_W) != 0) {
            continue;
        }
        const std::uintptr_t begin = object->dlpi_addr + segment.p_vaddr;
        const std::uintptr_t first = begin & ~(page - 1);
        const std::uintptr_t end = (begin + segment.p_memsz) & ~(page - 1);
        if (end > first && object->dlpi_name != nullptr) {
            // Refused for memory that is locked or special: it just stays.
            (void)madvise(reinterpret_cast<void*>(first), end - first, MADV_DONTNEED);
        }
    }
    return 0;
}

}  // namespace

void give_back_memory() {
    malloc_trim(0);
    dl_iterate_phdr(drop_pages, nullptr);
}

}  // namespace gpcsup::sys
