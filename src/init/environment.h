#pragma once
// An environment block in fixed memory, for execve(2) of gpc-init itself and of its helpers.

#include <cstdint>

namespace gpcsup::init {

struct Environment {
    static constexpr unsigned capacity = 1024;
    static constexpr unsigned own_size = 16384;
    char* entries[capacity + 1];
    unsigned count;
    char own[own_size];  // strings made here
    unsigned own_used;
};

// All of FROM except what gpc-init itself hands on (GPCSUP_RUNTIME and the like, which must not come from
// outside).
void copy_environment(Environment& environment, char** from);
// A variable too many or too long is left out, and said.
void set_variable(Environment& environment, const char* name, const char* value);

}  // namespace gpcsup::init
