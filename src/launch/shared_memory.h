#pragma once
// A memfd and its mapping, as the shared tables of this room need it. Internal to the room.

#include <cstddef>
#include <string_view>

#include "base/fd.h"
#include "base/result.h"

namespace gpcsup::launch {

// A new memfd of that size (zeroed, its size sealed).
base::Result<base::Fd> make_memory(const char* name, std::size_t size);

// Maps the whole memfd, shared and writable. EPROTO when it is smaller than `size`.
base::Result<void*> map_memory(const base::Fd& memfd, std::size_t size, std::string_view what);

}  // namespace gpcsup::launch
