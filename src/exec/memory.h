#pragma once
// Memory without a heap: whole pages from the kernel, never given back, because this program ends in execve.

#include <sys/mman.h>

#include <cstddef>

namespace gpcsup::exec {

// Zeroed memory for `count` objects of a trivial type, or null with errno set.
template <class T>
T* allocate(std::size_t count) {
    void* memory = mmap(nullptr, (count == 0 ? 1 : count) * sizeof(T), PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return memory == MAP_FAILED ? nullptr : static_cast<T*>(memory);
}

}  // namespace gpcsup::exec
