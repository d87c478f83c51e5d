#include "init/memory.h"

#include <link.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>

namespace gpcsup::init {

namespace {

int drop_pages(dl_phdr_info* object, std::size_t, void*) {
    const auto page = static_cast<std::uintptr_t>(sysconf(_SC_PAGESIZE));
    for (int index = 0; index < object->dlpi_phnum; ++index) {
        const ElfW(Phdr)& segment = object->dlpi_phdr[index];
        const std::uintptr_t begin = (object->dlpi_addr + segment.p_vaddr) & ~(page - 1);
        const std::uintptr_t end = (object->dlpi_addr + segment.p_vaddr + segment.p_memsz) & ~(page - 1);
        if (segment.p_type == PT_LOAD && (segment.p_flags & PF_W) == 0 && end > begin) {
            // Advice: where it is refused, the pages stay.
            static_cast<void>(madvise(reinterpret_cast<void*>(begin), end - begin, MADV_DONTNEED));
        }
    }
    return 0;
}

}  // namespace

void give_back_code() {
    dl_iterate_phdr(drop_pages, nullptr);
}

}  // namespace gpcsup::init
