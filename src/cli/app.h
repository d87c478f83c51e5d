#pragma once
// gpcsup from its arguments to its exit code.

#include <string>
#include <vector>

namespace gpcsup::cli {

int run_program(const std::vector<std::string>& arguments);

}  // namespace gpcsup::cli
