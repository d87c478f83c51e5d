#include "base/lasting_memory.h"

namespace gpcsup::base {

std::pmr::memory_resource* lasting_memory() {
#ifdef __SANITIZE_ADDRESS__
    return std::pmr::new_delete_resource();  // a pool would hide what is used after it was freed
#else
    // Small chunks: what is not used of the last one of each size is bounded by a few pages. Never destroyed:
    // statics may hold what lies in it.
    static auto* const pool = new std::pmr::unsynchronized_pool_resource(
        {.max_blocks_per_chunk = 128,
         .largest_required_pool_block = 512});  // 512: the pieces of a std::deque
    return pool;
#endif
}

}  // namespace gpcsup::base
