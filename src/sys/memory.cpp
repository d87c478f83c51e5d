#include "sys/memory.h"

#include <link.h>
#include <malloc.h>
#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

namespace gpcsup::sys {

namespace {

struct Range {
    std::uintptr_t begin = 0;
    std::uintptr_t end = 0;
};

// Segments that nobody may write are as the file has them: the dynamic linker writes its relocations into
// writable ones only (those it protects afterwards are still of a writable segment here).
int drop_pages(dl_phdr_info* object, std::size_t, void*) {
    // All of them are noted before the first one goes: the program headers lie in it, and reading them again
    // would bring it back, with the pages around it (64 KiB of each library).
    constexpr std::size_t most_segments = 8;  // linkers make three or four
    std::array<Range, most_segments> ranges;
    std::size_t count = 0;
    const auto page = static_cast<std::uintptr_t>(sysconf(_SC_PAGESIZE));
    for (int index = 0; index < object->dlpi_phnum && count < ranges.size(); ++index) {
        const ElfW(Phdr)& segment = object->dlpi_phdr[index];
        if (segment.p_type == PT_LOAD && (segment.p_flags & PF_W) == 0) {
            const std::uintptr_t begin = object->dlpi_addr + segment.p_vaddr;
            ranges[count++] = {begin & ~(page - 1), (begin + segment.p_memsz) & ~(page - 1)};
        }
    }
    for (const Range& range : std::span(ranges).first(count)) {
        if (range.end > range.begin) {
            // Refused for memory that is locked or special: it just stays.
            (void)madvise(reinterpret_cast<void*>(range.begin), range.end - range.begin, MADV_DONTNEED);
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
