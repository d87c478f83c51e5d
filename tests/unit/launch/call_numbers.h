#pragma once
// The kernel headers' own numbers of both ABIs: their names collide, so each is asked for in a file of its
// own.

#include <string_view>

namespace gpcsup::test {

int native_number(std::string_view name);  // -1 = the header has no such call
int compat_number(std::string_view name);

}  // namespace gpcsup::test
