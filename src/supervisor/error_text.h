#pragma once
// An errno in words, also one that comes from another process's memory and may be any number.

#include <cstring>
#include <string>

namespace gpcsup::supervisor {

[[nodiscard]] inline std::string error_text(int error) {
    const char* text = error == 0 ? nullptr : strerrordesc_np(error);
    return text != nullptr ? text : "unknown error";
}

}  // namespace gpcsup::supervisor
