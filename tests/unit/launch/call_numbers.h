#pragma once
// The kernel headers' own numbers of both ABIs, as the build machine has them: read as text, since their
// macros collide.

#include <map>
#include <string>
#include <string_view>

namespace gpcsup::test {

using CallNumbers = std::map<std::string, int, std::less<>>;

const CallNumbers& native_calls();
const CallNumbers& compat_calls();
int native_number(std::string_view name);  // -1 = the header has no such call
int compat_number(std::string_view name);

}  // namespace gpcsup::test
